# One image for the four services; the command says which one runs.
FROM python:3.11-slim AS packages
WORKDIR /build
RUN python -m venv /venv
COPY pyproject.toml requirements.lock ./
# The lock pins what is installed; the project's own list says what that is, without the tools.
# psutil comes with it because `devstack` makes the secrets and tokens in here.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], 'psutil', sep='\n')" > needed.txt \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --constraint requirements.lock --requirement needed.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin my500
WORKDIR /app
COPY --from=packages /venv /venv
COPY shared ./shared
COPY services ./services
COPY devstack ./devstack
COPY web ./web
COPY deploy/entrypoint /usr/local/bin/entrypoint
# Else each start compiles them anew, for half a second: the user may not write here.
RUN python -m compileall -q devstack services shared
RUN install -d -o my500 -g my500 -m 700 /app/.local /var/lib/my500/spool
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER my500
STOPSIGNAL SIGTERM
ENTRYPOINT ["entrypoint"]
CMD ["services.query"]
