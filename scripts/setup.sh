# shellcheck shell=bash
# Set-up shared by ./quickstart and ./run-tests, which source it from the repository's root: packages, then the build.

build=build
# Debian's own Python, which sees the packages of Debian.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
# shellcheck disable=SC2034 # used by the scripts that source this
pipar=$build/src/app/pipar

# What building and running needs, by Debian 12's names. OpenBLAS in its pthread build: its threads are set in code, the
# OpenMP build would take them from the environment too, and the serial build cannot have more than one a rank.
# shellcheck disable=SC2034
run_packages=(meson ninja-build pkg-config gcc libc6-dev libopenmpi-dev openmpi-bin libopenblas-pthread-dev libhdf5-dev
  check libyaml-dev librandom123-dev zlib1g-dev libyajl-dev node-d3 libmatio-dev libturbojpeg0-dev gnuplot-nox
  dataset-fashion-mnist)

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# Open MPI refuses to run as root unless told twice; containers and CI have no other user.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# Prints those of the given packages that are not installed.
missing_packages() {
  local -A installed=()
  local state package
  while read -r state package; do
    [[ $state == ?i ]] && installed[$package]=1
  done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null)
  for package in "$@"; do
    [ -n "${installed[$package]:-}" ] || printf '%s\n' "$package"
  done
}

# apt-get with the rights it needs. The first argument is its command.
run_apt() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 \
    -o Dpkg::Use-Pty=0 "$@"
}

may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  [ -t 0 ] || sudo -n true 2>/dev/null # without a terminal nobody can be asked for a password
}

# Without apt's help: names what the compiler and the build will not find, whoever provides it (modules, a prefix).
say_what_is_missing() {
  local missing=() tool module
  for tool in meson ninja pkg-config cc mpicc mpirun gnuplot; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  for module in openblas yaml-0.1 zlib hdf5 check; do
    # HDF5 has no pkg-config file everywhere; its compiler wrapper does as well.
    pkg-config --exists "$module" 2>/dev/null || { [ "$module" = hdf5 ] && command -v h5cc >/dev/null; } ||
      missing+=("$module")
  done
  printf '#include <Random123/philox.h>\n' | cc -E -x c - >/dev/null 2>&1 || missing+=("Random123")
  if [ ${#missing[@]} -gt 0 ]; then
    warn "Not found here: ${missing[*]} (check and gnuplot are only for tests and figures)."
  fi
}

packages_changed=no

# Installs what is missing of the given packages. Never ends the script: what is there may do.
setup_packages() {
  local missing=() attempt log=$build/apt.log
  if command -v dpkg-query >/dev/null; then
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if may_install; then
      say "Installing with apt, as root (its output: $log): ${missing[*]}"
      packages_changed=yes
      mkdir -p "$build"
      for attempt in 1 2 3; do
        if run_apt update && run_apt install -y --no-install-recommends "${missing[@]}"; then
          return 0
        fi >"$log" 2>&1
        [ "$attempt" = 3 ] || { warn "apt failed; trying again in $((attempt * 5)) s."; sleep $((attempt * 5)); }
      done
      mapfile -t missing < <(missing_packages "$@")
      [ ${#missing[@]} -gt 0 ] || return 0
      tail -n 5 "$log" >&2
      warn "apt could not install: ${missing[*]}. Going on with what is there."
    else
      warn "Not installed, and no right to install it here: ${missing[*]}. Going on with what is there."
    fi
  else
    warn "No Debian packages here. Going on with what is there."
  fi
  say_what_is_missing
}

build_options=() # of `meson setup`

# Configures build/ once, then lets ninja do what is left to do.
setup_build() {
  local log=$build/setup.log
  mkdir -p "$build"
  if [ ! -f "$build/build.ninja" ]; then
    say "Configuring $build/ ..."
    meson setup "${build_options[@]}" "$build" >"$log" 2>&1 || { tail -n 20 "$log" >&2; warn "meson setup failed: $log"; return 1; }
  elif [ "$packages_changed" = yes ]; then
    meson setup --reconfigure "$build" >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; warn "meson setup failed: $log"; return 1; }
  fi
  if ! ninja -C "$build" -n 2>/dev/null | grep -q 'no work to do'; then
    say "Building ..."
  fi
  if [ -t 1 ]; then
    ninja -C "$build" || { warn "The build failed."; return 1; }
  else
    ninja -C "$build" >"$log" 2>&1 || { grep -A 20 -E '^FAILED|error' "$log" | head -60 >&2; warn "The build failed: $log"; return 1; }
  fi
}
