"""The JSON Schema of the settings, and the messages about wrong settings that are made from it.

In reading order:

* ``schema.py``: the JSON Schema of the settings, whole and at one key.
* ``expected_values.py``: what the schema expects of a value, in words.
* ``messages.py``: a line for each wrong setting: file and line, key, value, what to write.
"""
