# The server in a container, for CPUs:  docker build --tag streamtts .
# For NVIDIA cards:                     docker build --build-arg STACK=current --build-arg TORCH=cuda --tag streamtts .
# docker run --publish 8765:8765 --env STREAMTTS_TOKEN=... streamtts      (for a card: --gpus all)
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# As for make: STACK is pinned or current, TORCH is cpu or cuda.
ARG STACK=pinned
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PATH=/streamtts/.venv/bin:$PATH

RUN useradd --uid 1000 --create-home streamtts && install --directory --owner=1000 /home/streamtts/.cache
WORKDIR /streamtts
COPY pyproject.toml README.md LICENSE requirements.lock requirements-current.lock ./
COPY .ci .ci
COPY streamtts streamtts
COPY voices voices
RUN STACK=$STACK TORCH=$TORCH .ci/setup.sh

USER 1000
# It speaks once, so that an image that cannot is not made; no network is needed from here on but for Turbo's weights.
RUN streamtts say "Hello." --out - > /dev/null
VOLUME /home/streamtts/.cache
EXPOSE 8765
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/health')"]
# Other machines reach a container, so the server wants a token; sh ends with this sentence where none is given.
CMD ["sh", "-c", "exec streamtts serve --host 0.0.0.0 --token \"${STREAMTTS_TOKEN:?give it a token, docker run --env STREAMTTS_TOKEN=...}\""]
