"""The configuration: every setting with its type, default, meaning and check.

A setting is declared once. The environment variables, ``config schema`` and ``docs/settings.md``
are derived from the declaration. Unknown settings are errors. No bucket is contacted here.

In reading order:

* ``file.py``: reads the YAML file and the environment into one ``Settings``.
* ``differences.py``: the settings in which two configurations differ.
* ``yaml_text/``: reads the YAML text, and writes that of a first configuration.
* ``environment.py``: reads settings from environment variables.
* ``settings.py``: all settings of the top level.
* ``sites.py``: the settings of a site: its origin, its targets and its rules.
* ``patterns.py``: shell patterns, for object keys and other text.
* ``buckets.py``: the settings of one bucket.
* ``value_types.py``: types of values: durations, networks, ports.
* ``aws_endpoints.py``: host names of S3, and the regions that exist.
* ``prices.py``: the prices by which savings and copies are estimated.
* ``json_schema/``: the JSON Schema of the settings, and the messages about wrong settings.
* ``regular_file.py``: reads a file that the configuration names, and never waits for a writer.
* ``named_files.py``: which files that a configuration names cannot be read.
"""

import os

# else pydantic reads the metadata of all installed packages, to find plugins; none is used here
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
