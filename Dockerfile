# One image for every process. Build for GPUs with --build-arg TORCH=cuda; see docs/gpu.md for TORCH_INDEX_URL.
FROM python:3.11-slim AS build
ARG TORCH=cpu
ARG TORCH_INDEX_URL=
WORKDIR /app
# What decides the dependencies comes first, so that a change of code does not install them again.
COPY pyproject.toml constraints.txt LICENSE ./
COPY scripts ./scripts
RUN mkdir acc accsite workers && touch README.md \
    && TORCH="$TORCH" TORCH_INDEX_URL="$TORCH_INDEX_URL" ACC_EXTRAS=onnx PIP_NO_CACHE_DIR=1 python scripts/setup.py

FROM python:3.11-slim
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=accsite.settings.production \
    ACC_HOME=/var/lib/acc \
    TORCHINDUCTOR_CACHE_DIR=/var/lib/acc/compiled \
    TRITON_CACHE_DIR=/var/lib/acc/compiled/triton
# The option `compile` of a training builds kernels with it; a folder in memory (/tmp) may hold nothing that runs.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/acc acc \
    && install -d -o acc -g acc -m 0700 /var/lib/acc /var/lib/acc/tmp
WORKDIR /app
COPY --from=build /app/.venv ./.venv
COPY . .
# Nobody writes here later, and every process, health checks included, would compile ACC anew.
RUN python -m compileall -q acc accsite workers
USER 10001:10001
VOLUME /var/lib/acc
EXPOSE 8000
CMD ["python", "-m", "daphne", "-v", "0", "-b", "0.0.0.0", "-p", "8000", "accsite.asgi:application"]
