# One image for all four services; the command selects one.
FROM python:3.11-slim AS packages
WORKDIR /build
RUN python -m venv /venv
COPY pyproject.toml requirements.lock ./
# Install the project's dependencies, without development tools, at the versions of the lock file.
# psutil is added because `devstack` creates secrets and tokens in this image.
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
# Compile now: the user may not write here, so every start would compile again, for half a second.
RUN python -m compileall -q devstack services shared
RUN install -d -o my500 -g my500 -m 700 /app/.local /var/lib/my500/spool
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER my500
STOPSIGNAL SIGTERM
ENTRYPOINT ["entrypoint"]
CMD ["services.query"]
