"""Package metadata of users-server. Tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="users-server",
    version="0.1.0",
    description="Accounts and realtime events in one self-hosted server",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["users_server", "users_server.*"]),
    package_data={"users_server": ["py.typed", "templates/*", "web/documents/*"]},
    install_requires=[
        "aiosmtplib>=3.0,<6",
        "click>=8.1",
        "cryptography>=42",
        "google-re2>=1.1",
        "hiredis>=3.1,<4",
        "httptools>=0.6",
        "jinja2>=3.1",
        "json5>=0.10",
        "jsonschema>=4.21",
        "marshmallow>=4.0,<5",
        "motor>=3.6,<4",
        "orjson>=3.10",
        "prometheus-client>=0.20",
        "pwdlib[argon2,bcrypt]>=0.2.1",
        "pyjwt[crypto]>=2.10,<3",
        "python-multipart>=0.0.34",
        "structlog>=24.1",
        "tornado>=6.4,<7",
        "uvloop>=0.19; sys_platform != 'win32' and implementation_name == 'cpython'",
    ],
    extras_require={
        "definitions": ["apispec>=6.8"],
        "s3": ["botocore>=1.36,<2"],
        "test": [
            "aiosmtpd>=1.4.6",
            "apispec>=6.8",
            "botocore>=1.36,<2",
            "flask>=3.0",
            "flask-cors>=5.0",
            "hypothesis>=6.100",
            "moto[s3]>=5.1,<6",
            "openapi-spec-validator>=0.7.1",
            "pytest>=8.2,<10",
            "pytest-tornado>=0.8.1",
            "schemathesis>=4.0,<5",
        ],
        "check": ["import-linter>=2.1", "mypy>=1.13", "ruff>=0.9"],
    },
    entry_points={"console_scripts": ["users-server = users_server.cli:main"]},
    classifiers=[
        "Framework :: AsyncIO",
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Topic :: Internet :: WWW/HTTP",
    ],
)
