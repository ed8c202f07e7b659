"""The files that ``admlops data ci`` writes: shell and YAML, kept as text here so that a wheel holds them."""

from __future__ import annotations

COMMIT_MSG = """\
#!/bin/sh
# Keeps messages of data commits in the agreed form. Written by `admlops data ci`.
# ADMLOPS may name another command, such as /opt/admlops/bin/admlops.
if ! command -v ${ADMLOPS:-admlops} >/dev/null; then
    echo "commit-msg: admlops is not installed, so the message was not checked; the server will" >&2
    exit 0
fi
said=$(${ADMLOPS:-admlops} data hook commit-msg "$1") && exit 0
echo "$said" >&2
exit 1
"""

PRE_PUSH = """\
#!/bin/sh
# Refuses here what the server would refuse. Written by `admlops data ci`.
# ADMLOPS may name another command, such as /opt/admlops/bin/admlops.
if ! command -v ${ADMLOPS:-admlops} >/dev/null; then
    echo "pre-push: admlops is not installed, so the push was not checked; the server will" >&2
    exit 0
fi
said=$(${ADMLOPS:-admlops} data hook pre-push "$1") && exit 0
echo "$said" >&2
exit 1
"""

PRE_RECEIVE = """\
#!/bin/sh
# For the bare repository on the server: refuses pushes that break a rule of data releases. Written by `admlops data ci`.
# Copy it to hooks/pre-receive (GitLab: custom_hooks/pre-receive) and make it executable. ADMLOPS may name another command,
# such as /opt/admlops/bin/admlops. Without admlops every push is refused: a rule that is not checked does not hold.
if ! command -v ${ADMLOPS:-admlops} >/dev/null; then
    echo "pre-receive: admlops is not installed on this server (set ADMLOPS in the hook), so nothing can be pushed" >&2
    exit 1
fi
said=$(${ADMLOPS:-admlops} data hook pre-receive) && exit 0
echo "$said" >&2
exit 1
"""

GITHUB = """\
# Checks every push and every pull request of a data release repository. Written by `admlops data ci`.
# In the settings, protect master/** and the tags **/v* and **/release-* against force pushes and deletion as well.
name: data release
on:
  push:
    branches: ["**"]
    tags: ["**"]
  pull_request:
jobs:
  validate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
          ref: ${{ github.event.pull_request.head.sha || github.ref }}
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - run: pip install admlops  # from where your team keeps it
      - env:
          KIND: ${{ github.ref_type }}
          NAME: ${{ github.head_ref || github.ref_name }}
        run: |
          if [ "$KIND" = tag ]; then admlops data validate "refs/tags/$NAME" --strict
          else admlops data validate "$(git rev-parse HEAD)" --branch "$NAME"; fi
"""

GITLAB = """\
# Checks every push of a data release repository. Written by `admlops data ci`; use it in .gitlab-ci.yml:
#   include: {local: .gitlab/data_release.gitlab-ci.yml}
# In the settings, protect master/* and the tags */v* and */release-* as well.
data release:
  image: python:3.11
  variables:
    GIT_DEPTH: "0"
  script:
    - pip install admlops  # from where your team keeps it
    - |
      if [ -n "$CI_COMMIT_TAG" ]; then admlops data validate "refs/tags/$CI_COMMIT_TAG" --strict
      else admlops data validate "$CI_COMMIT_SHA" --branch "$CI_COMMIT_REF_NAME"; fi
"""
