#!/bin/sh
# Chromium for the browser tests, from the system's own packages; without it those tests skip and say so.
set -u
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1; then
  echo "installing Chromium for the browser tests …"
  run=""
  [ "$(id -u)" = 0 ] || run="sudo -n"
  if $run apt-get update -qq >/dev/null 2>&1 && $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "Chromium is not here and could not be installed; the browser tests will be skipped."
exit 0
