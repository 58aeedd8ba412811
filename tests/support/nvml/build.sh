#!/bin/sh
# build.sh OUTPUT [-DOLD_DRIVER]: the stand-in libnvidia-ml.so.1, by the system's C compiler.
set -eu
output=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
exec "${CC:-cc}" -std=gnu11 -Wall -Wextra -Werror -O1 -shared -fPIC -fvisibility=hidden \
    -Wl,-soname,libnvidia-ml.so.1 "$@" -o "$output" "$here/nvml_standin.c" -lpthread
