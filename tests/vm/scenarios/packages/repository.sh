# Makes a signed repository of small packages in /srv/repo: named as Kubernetes' are, in several
# versions, one of which depends on another, conflicts with it, or can't be configured.
mkdir -p /srv/repo /srv/make /srv/debs && cd /srv/make

package() { # NAME VERSION [CONTROL LINES]
    rm -rf tree && mkdir -p tree/DEBIAN "tree/usr/share/lab"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: lab <lab@example>\nDescription: of the lab\n' "$1" "$2" >tree/DEBIAN/control
    [ -z "${3:-}" ] || printf '%b\n' "$3" >>tree/DEBIAN/control
    echo "$1 $2" >"tree/usr/share/lab/$1"
    [ -z "${POSTINST:-}" ] || { printf '#!/bin/sh\n%s\n' "$POSTINST" >tree/DEBIAN/postinst; chmod 755 tree/DEBIAN/postinst; }
    dpkg-deb --root-owner-group -Zgzip -b tree "${4:-/srv/repo}/$1_$2_all.deb" >/dev/null
}

for version in 1.29.9-1.1 1.30.1-1.1 1.30.4-1.1 1.31.0-1.1; do
    package kubeadm $version
    package kubelet $version 'Depends: lab-cni'
    package kubectl $version
done
package lab-cni 1.5.0
package lab-rival 1.0 'Conflicts: kubectl'
POSTINST='[ -e /srv/fine ] || { echo "no fine" >&2; exit 1; }' package lab-broken 1.0
package lab-offline 2.0 'Depends: lab-offline-lib' /srv/debs
package lab-offline-lib 2.0 '' /srv/debs
package lab-big 1.0
package lab-old 1.0
package lab-old 1.1

index() {
    cd /srv/repo
    for file in *.deb; do
        dpkg-deb -f "$file"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum <"$file" | cut -d' ' -f1)"
    done >Packages
    printf 'Origin: lab\nSuite: lab\nDate: %s\nSHA256:\n %s %s Packages\n' \
        "$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')" "$(sha256sum <Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
    rm -f InRelease
    gpg --batch --yes --quiet --clearsign -o InRelease Release
}

export GNUPGHOME=/srv/gnupg
if [ ! -d $GNUPGHOME ]; then
    mkdir -m 700 $GNUPGHOME
    gpg --batch --quiet --passphrase '' --quick-generate-key 'lab <lab@example>' ed25519 sign never
    gpg --armor --export >/srv/key.asc
fi
index
