"""docker-compose.yml as users run it: built, started, used over its published ports, taken down.

The container engine is the one that ``docker`` reaches, or one that the kit beside the repository
(``../shared/docker/engine``) can start; without one the tests are skipped, and the last line of the
run says why. The project has a name and free ports of its own, and all it made is removed.
"""
