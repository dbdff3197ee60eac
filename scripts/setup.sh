#!/usr/bin/env bash
# Everything a fresh machine needs: system libraries, a virtual environment, the package.
# Called by `make`; a second call finds .venv/.ready and is not made at all.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(libgl1 libegl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3 libgomp1
  libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
  libxcb-render-util0 libxcb-shape0 libxcb-xkb1 xvfb xauth fonts-dejavu-core)

has_package() { # also under the name that newer releases give it, such as libglib2.0-0t64
  dpkg-query -W -f '${Status}\n' "$1" "$1t64" 2>/dev/null | grep -q '^install ok installed$'
}

python=$(command -v python3.11 || true)
if [ -z "$python" ] && [ "$(uname)" = Darwin ]; then
  echo "Python 3.11 is missing. Run: brew install python@3.11" >&2
  exit 1
fi

if command -v dpkg-query >/dev/null; then
  missing=()
  for package in "${packages[@]}"; do has_package "$package" || missing+=("$package"); done
  if [ -z "$python" ]; then
    missing+=(python3.11 python3.11-venv)
  elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=(python3.11-venv)
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
      as_root=(env)
    elif sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      echo "System packages are missing. Run, then try again:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
      exit 1
    fi
    echo "Installing system packages: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
  fi
elif [ "$(uname)" = Linux ]; then
  echo "This is not Debian or Ubuntu: if a window does not open, install the equivalents of: ${packages[*]}" >&2
fi
python=$(command -v python3.11) || { echo "Python 3.11 is missing: install it and try again." >&2; exit 1; }

echo "Setting up .venv (a few minutes the first time)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test,docs]'
touch .venv/.ready
