# Makes, in the directory that is given, a repository of small packages in repo/ and the key they are
# signed with in key.asc: named as Kubernetes' are, in several versions; one is not signed.
set -euo pipefail
cd "$1"
mkdir repo specs

package() { # NAME VERSION [LINES OF THE SPEC]
    printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: of the lab\nLicense: none\nBuildArch: noarch\n%b\n' "$1" "$2" "${3:-}"
    printf '%%description\nOf the lab.\n%%install\nmkdir -p %%{buildroot}/usr/share/lab\necho %s >%%{buildroot}/usr/share/lab/%s\n' "$2" "$1"
    printf '%%files\n/usr/share/lab/%s\n' "$1"
}

for version in 1.29.9 1.30.1 1.30.4 1.31.0; do
    package kubelet $version 'Requires: lab-cni' >specs/kubelet-$version.spec
    for name in kubeadm kubectl; do
        package $name $version >specs/$name-$version.spec
    done
done
package lab-cni 1.5.0 >specs/lab-cni-1.5.0.spec
package lab-cni 1.6.0 >specs/lab-cni-1.6.0.spec
package lab-old 1.0 >specs/lab-old.spec
package lab-needs-old 1.0 'Requires: lab-old' >specs/lab-needs-old.spec
package lab-unsigned 1.0 >specs/lab-unsigned.spec
# Stands for the package that brings the plugin; the plugin itself is Debian's.
package python3-dnf-plugin-versionlock 4.3.0 >specs/versionlock.spec
# Its version is $releasever, by which dnf names its caches.
package rocky-release 9.4 'Provides: system-release = 9' >specs/rocky-release.spec

rpmbuild -bb --quiet -D "_topdir $PWD/build" -D "_rpmdir $PWD/repo" -D '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.rpm' \
    -D '_binary_payload w1.gzdio' -D '__os_install_post %nil' specs/*.spec >build.log 2>&1 || { cat build.log >&2; exit 1; }

# A directory of its own with a short name: the agent's socket has 108 bytes for it.
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill gpg-agent; rm -rf "$GNUPGHOME"' EXIT
gpg --batch --quiet --passphrase '' --quick-generate-key 'lab <lab@example>' rsa2048 sign never
gpg --armor --export >key.asc
shopt -s extglob
rpmsign --addsign -D '_gpg_name lab@example' -D '__gpg /usr/bin/gpg' repo/!(lab-unsigned*).rpm >sign.log 2>&1 || { cat sign.log >&2; exit 1; }
createrepo_c -q repo
