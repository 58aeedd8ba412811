#!/bin/sh
# Builds Ollama out of its Go module into the folder $1: ollama.sh FOLDER. Module zips leave out vendor/ folders, so
# the headers that llama.cpp keeps there come from Debian's packages and from another module.
set -eu
folder=$1
work=$folder/build
mkdir -p "$work/inc/miniaudio" "$work/inc/stb" "$work/debs" "$work/mod"
cd "$work/debs"
apt-get download -qq nlohmann-json3-dev libstb-dev
for package in *.deb; do dpkg -x "$package" unpacked; done
cp -r unpacked/usr/include/nlohmann "$work/inc/"
cp unpacked/usr/include/stb/stb_image.h "$work/inc/stb/"
cd "$work/mod"
go mod init local/ollamabuild
cp "$(go mod download -json github.com/gen2brain/malgo@v0.11.24 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/miniaudio.h" "$work/inc/miniaudio/"
printf '//go:build tools\npackage tools\nimport _ "github.com/ollama/ollama/cmd"\n' >tools.go
go get github.com/ollama/ollama@v0.17.4
go mod tidy
CGO_CPPFLAGS="-I$work/inc" CGO_CFLAGS=-O2 CGO_CXXFLAGS=-O2 go build -p 1 -mod=mod -trimpath \
  -ldflags "-s -w -X github.com/ollama/ollama/version.Version=0.17.4" -o "$folder/bin/ollama" github.com/ollama/ollama
rm -rf "$work"
