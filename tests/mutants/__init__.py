"""Mutation testing: small faults are put into copies of the code, and tests should fail on each.

``make mutants`` draws a seeded sample of mutants, runs for each the tests that execute the changed
function, and prints the mutants that no test notices; ``ARGS=--again`` runs those once more.
The working tree is never changed.

``syntax``   which changes can be made to a file
``plugin``   the pytest plugin: records which test executes which function, and picks tests
``running``  copies of the tree, and pytest in a process of its own with limits on time and memory
``__main__`` the command
"""
