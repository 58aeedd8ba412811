#!/usr/bin/env bash
# Builds the real control plane that the tests run against, once per version.
#
#   build.sh            etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok
#   build.sh --node     the same, and kubelet, kube-proxy and pause, for a real node
#   build.sh --folder   only says where the programs are (or would be); builds nothing
#
# Prints the folder that holds the programs. The folder is named by a hash of
# everything that goes into them, so a second call does nothing, and two
# checkouts with the same sources share one build. A cold build takes about six
# CPU-minutes and needs Go and the Go module proxy.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"

want=${1:-}
case $want in
"" | --node | --folder) ;;
*)
    echo "build.sh: unknown argument $want (know --node, --folder)" >&2
    exit 2
    ;;
esac

sources=(build.sh go.mod go.sum server/main.go node/main.go pause/main.go kwok/go.mod kwok/go.sum)
if command -v sha256sum >/dev/null; then sum=(sha256sum); else sum=(shasum -a 256); fi
digest=$(for source in "${sources[@]}"; do
    printf '%s\n' "$source"
    cat "$source"
done | "${sum[@]}" | cut -c1-16)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/inferaudit/controlplane/$digest

if [[ $want == --folder ]]; then
    echo "$folder"
    exit 0
fi

complete() { # every named program is in the folder
    local name
    for name in "$@"; do [[ -x $folder/$name ]] || return 1; done
}

control_plane=(etcd kube-apiserver kube-controller-manager kube-scheduler)
node=(kubelet kube-proxy)
needed=("${control_plane[@]}" kwok)
[[ $want == --node ]] && needed+=("${node[@]}" pause)
if complete "${needed[@]}"; then
    echo "$folder"
    exit 0
fi

if ! command -v go >/dev/null; then
    echo "build.sh: go is not on PATH; the control plane is built from source: install Go 1.26 or later (https://go.dev/dl)" >&2
    exit 1
fi

# Without these a client sees v0.0.0 and version checks have nothing to judge.
version=$(sed -n 's/^[[:space:]]*k8s\.io\/kubernetes v\([0-9.]*\)$/\1/p' go.mod)
IFS=. read -r major minor _ <<<"$version"
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor -X $stamp.gitTreeState=clean"
ldflags+=" -X k8s.io/client-go/pkg/version.gitVersion=v$version"

mkdir -p "$folder"
work=$(mktemp -d "$folder/building.XXXXXX")
trap 'rm -rf "$work"' EXIT

build() { # module folder, package, names it is called by
    local module=$1 package=$2 name
    shift 2
    complete "$@" && return 0
    echo "build.sh: building $*" >&2
    (cd "$module" && GOFLAGS=-mod=readonly go build -buildvcs=false -trimpath -ldflags "$ldflags" -o "$work/program" "$package")
    for name in "$@"; do
        ln -f "$work/program" "$work/$name"
        mv -f "$work/$name" "$folder/$name" # in one step: another run may be reading the folder
    done
    rm -f "$work/program"
}

build . ./server "${control_plane[@]}"
build kwok sigs.k8s.io/kwok/cmd/kwok kwok
if [[ $want == --node ]]; then
    build . ./node "${node[@]}"
    CGO_ENABLED=0 build . ./pause pause # static: its image holds nothing else
fi
echo "$folder"
