# An image with every command of r2d_ray, for CPUs and, with another base, for NVIDIA GPUs.
#
#   docker build --tag r2d_ray .
#   docker run --shm-size 2g --volume r2d-studies:/home/r2d/studies r2d_ray \
#     python -m r2d_ray.tune --dataset bioasq --profile embedded
#
# For GPUs: --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04, and `docker run --gpus all`. PyTorch's
# wheel brings the CUDA libraries itself. For a much smaller image without them give PyTorch's index of
# CPU builds: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=debian:12-slim
FROM ${BASE}

# What makes a virtual environment. Both bases' archives keep the newest version of a package only, so
# a version written here could not be installed for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The Python that the constraints were made with, on either base, readable by every user.
ENV UV_PYTHON_INSTALL_DIR=/opt/python
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir uv==0.13.8 \
    && /opt/uv/bin/uv venv --seed --python 3.11.18 /opt/venv

# Every package in the tested version.
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /opt/r2d_ray
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY r2d_ray r2d_ray
COPY analysis analysis
COPY search_spaces search_spaces
RUN /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[dashboard,mlflow]'

# No root at run time; ./studies, the default storage, is a volume that this user may write.
RUN groupadd --gid 10001 r2d \
    && useradd --create-home --uid 10001 --gid 10001 r2d \
    && install -d -o r2d -g r2d /home/r2d/studies
ENV PATH=/opt/venv/bin:$PATH
USER 10001:10001
WORKDIR /home/r2d
VOLUME /home/r2d/studies
CMD ["python", "-m", "r2d_ray.tune", "--help"]
