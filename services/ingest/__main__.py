"""`python -m services.ingest [api] [sync]`, or `python -m services.ingest connect --company C`.

`python -m services.ingest redeliver --help` tells how to retry webhooks that could not be read.
"""

from shared import program

if __name__ == "__main__":
    program.run(
        "services.ingest.main",
        connect="services.ingest.sync.command",
        redeliver="services.ingest.redelivery",
    )
