"""`python -m services.scoring [api] [worker] [ticker]`: all roles unless some are named.

`python -m services.scoring backtest --help` says how weights are tried on the past,
`python -m services.scoring rebuild --help` how the store is built anew.
"""

from shared import program

if __name__ == "__main__":
    program.run(
        "services.scoring.main",
        backtest="services.scoring.backtest.command",
        rebuild="services.scoring.rebuild",
    )
