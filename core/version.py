"""The version of puruto-cron, said here only: the build, `--version` and the release read it."""

VERSION = "0.1.0"
