FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/users-server
COPY setup.py pyproject.toml README.md LICENSE ./
COPY users_server users_server
RUN /opt/users-server/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/users-server --shell /usr/sbin/nologin users-server
COPY --from=build /opt/users-server /opt/users-server
COPY config.example.json /etc/users-server/config.json
# In a container, all addresses are its own; what is published is decided outside.
ENV PATH=/opt/users-server/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    USERS_SERVER_CONFIG=/etc/users-server/config.json \
    USERS_SERVER__HOST="" \
    USERS_SERVER__LOGGING__FORMAT=json
USER users-server
WORKDIR /var/lib/users-server
VOLUME /var/lib/users-server
EXPOSE 8000 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('USERS_SERVER__HTTP__PORT', '8000') + '/healthz', timeout=2)"]
ENTRYPOINT ["users-server"]
CMD ["serve"]
