#!/bin/sh
# Builds Wakaama's example client without DTLS from the sources inside an npm package.
# Usage: build.sh PACKAGE_FOLDER OUTPUT
set -eu
here=$(dirname "$0")
wakaama=$1/deps/wakatiwai/deps/wakaama
core=$wakaama/core
examples=$wakaama/examples
exec cc -O1 -w \
    -D LWM2M_CLIENT_MODE -D LWM2M_BOOTSTRAP -D LWM2M_SUPPORT_JSON -D LWM2M_LITTLE_ENDIAN \
    -I "$core" -I "$core/er-coap-13" -I "$examples/shared" -I "$examples/client" \
    "$core"/*.c "$core"/er-coap-13/*.c "$examples"/client/*.c \
    "$examples/shared/commandline.c" "$examples/shared/connection.c" "$examples/shared/platform.c" \
    "$here/line_buffered.c" \
    -o "$2"
