"""The YAML text of a configuration: read with the line of each value, and written by ``init``.

In reading order:

* ``yaml_document.py``: reads YAML 1.2, and keeps the line of each value.
* ``yaml_errors.py``: says what is wrong in a file that is not YAML.
* ``new_config.py``: the text of a first configuration, with comments.
"""
