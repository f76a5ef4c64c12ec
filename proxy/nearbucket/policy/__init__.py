"""Pure decisions: no await, socket, file, clock, log or metric below this folder."""
