#!/bin/sh
# Install vclr into a fresh Debian, for both container recipes: packages of Debian, the rest from PyPI.
#
#   container/install.sh SOURCE [VENV]     SOURCE is a clone; VENV is the environment to make (default: /opt/vclr)
#
# TORCH=cuda takes the torch of PyPI, which on x86-64 is built for NVIDIA GPUs and also runs without one (the default).
# TORCH=cpu takes a build for CPUs, which needs 5 GB less, from PyTorch's own index: PyPI has none for Linux on x86-64.
# If that index does not answer, the installation fails.
# EXTRAS=models,server installs optional parts, too.
set -eu
source=${1:?usage: install.sh SOURCE [VENV]}
venv=${2:-/opt/vclr}
extras=${EXTRAS:-}

case ${TORCH:-cuda} in
cuda) index= ;;
cpu) index=https://download.pytorch.org/whl/cpu ;;
*)
    echo "TORCH=$TORCH: must be cuda or cpu" >&2
    exit 2
    ;;
esac

apt-get update -qq
# git: a run records the revision of the code, and DVC needs it.
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates git python3 python3-venv
rm -rf /var/lib/apt/lists/*

python3 -m venv "$venv"
export PIP_NO_CACHE_DIR="${PIP_NO_CACHE_DIR:-1}" PIP_DISABLE_PIP_VERSION_CHECK=1 # an image keeps no downloads
if [ -n "$index" ]; then
    # First, and from this index alone: with PyPI beside it, pip would take the build for GPUs if it did not answer.
    PIP_EXTRA_INDEX_URL='' "$venv/bin/python" -m pip install --no-compile --no-deps --index-url "$index" \
        --constraint "$source/constraints.txt" torch
fi
"$venv/bin/python" -m pip install --no-compile --constraint "$source/constraints.txt" "$source${extras:+[$extras]}"
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" > /dev/null || true # a container cannot write them later

# Who runs the commands in Docker. Apptainer runs them as whoever calls it.
id vclr > /dev/null 2>&1 || useradd --create-home --shell /bin/bash vclr
"$venv/bin/vclr" --version
