"""`python -m services.scoring [api] [worker] [ticker]`: all roles unless some are named.

`python -m services.scoring backtest --help` tells how to test weights on past data,
`python -m services.scoring rebuild --help` how to rebuild the store.
"""

from shared import program

if __name__ == "__main__":
    program.run(
        "services.scoring.main",
        backtest="services.scoring.backtest.command",
        rebuild="services.scoring.rebuild",
    )
