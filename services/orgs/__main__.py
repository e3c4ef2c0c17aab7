"""`python -m services.orgs [api] [worker]`: all roles when none is named.

`python -m services.orgs rebuild --help` tells how to rebuild the store.
"""

from shared import program

if __name__ == "__main__":
    program.run("services.orgs.main", rebuild="services.orgs.rebuild")
