"""`python -m services.query [api] [projector]`: both roles when none is named.

`python -m services.query rebuild --help` tells how to rebuild the store.
"""

from shared import program

if __name__ == "__main__":
    program.run("services.query.main", rebuild="services.query.rebuild")
