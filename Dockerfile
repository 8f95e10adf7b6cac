# certlip on the CPU:  docker build -t certlip .
#   docker run --rm -v "$PWD:/work" certlip certify model.pt --dataset digits
# An index that has torch without GPU packages makes the image smaller: --build-arg PIP_EXTRA_INDEX_URL=…
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY certlip certlip
COPY cli cli
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG PIP_EXTRA_INDEX_URL=""
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir -c /tmp/constraints.txt \
      "certlip[report,sdp,onnx,images] @ file://$(ls /wheels/certlip-*.whl)" \
    && useradd --create-home certlip
USER certlip
WORKDIR /work
ENTRYPOINT ["certlip"]
CMD ["--help"]
