"""The whole memory behind one object."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from boxyard_schemas.errors import NotFound, SetupError, Unreadable

from . import keys
from .admission import Admission
from .api_keys import ApiKeys
from .bells import Bells
from .blobs import BlobStore, open_blobs
from .buckets import Buckets
from .census import Census
from .connection import Connection
from .deliveries import Deliveries
from .endpoints import Endpoints
from .erasures import Erasures
from .identity import establish_identity, read_identity
from .jobs import Jobs
from .quarantine import Quarantine
from .retention import Retention
from .review import QuarantineReview
from .s3 import S3
from .sealing import Sealing
from .served_models import ServedModels
from .settings import LedgerSettings
from .sweeps import Sweeps
from .tally import Tally
from .tenants import Tenants
from .transitions import Transitions
from .uploads import Uploads
from .workers import Workers


class Ledger:
    """Jobs, bells, tenants, deliveries, workers and blobs of one stack; thread-safe."""

    def __init__(self, settings: LedgerSettings) -> None:
        connection = Connection(settings)
        self._connection = connection
        self.settings = settings
        self.registry = CollectorRegistry()
        """What Prometheus may read of this process; its owner adds its own."""
        tally = Tally(self.registry)
        Gauge(
            "boxyard_redis_stalled",
            "Whether this process refuses commands until Redis answers again.",
            registry=self.registry,
        ).set_function(lambda: connection.stalled)
        self.quarantine = Quarantine(connection, self.registry)
        self.census = Census(connection, self.quarantine)
        s3 = S3(settings)
        self.blobs: BlobStore = open_blobs(settings, s3, connection)
        self.buckets = Buckets(s3, settings)
        self.sealing = Sealing(settings.secret_keys)
        self.api_keys = ApiKeys(connection, self.quarantine)
        self.tenants = Tenants(connection, self.sealing, self.api_keys, self.quarantine)
        self.endpoints = Endpoints(connection, self.sealing, self.quarantine)
        self.bells = Bells(connection, settings)
        transitions = Transitions(connection, self.endpoints, self.quarantine, tally)
        self.deliveries = Deliveries(connection, settings, self.quarantine)
        erasures = Erasures(connection, self.blobs, self.quarantine)
        self.uploads = Uploads(connection, settings, self.blobs, erasures, self.quarantine)
        retention = Retention(connection, erasures, self.quarantine)
        self.quarantine_review = QuarantineReview(connection, self.quarantine, retention)
        self.jobs = Jobs(
            connection,
            settings,
            admission=Admission(connection, settings),
            transitions=transitions,
            retention=retention,
            bells=self.bells,
            tally=tally,
            quarantine=self.quarantine,
        )
        self.workers = Workers(connection, self.quarantine)
        self.served_models = ServedModels(connection, self.workers, self.quarantine)
        self.sweeps = Sweeps(
            connection,
            settings=settings,
            transitions=transitions,
            deliveries=self.deliveries,
            bells=self.bells,
            retention=retention,
            uploads=self.uploads,
            erasures=erasures,
            jobs=self.jobs,
            quarantine=self.quarantine,
        )

    @classmethod
    def open(cls, settings: LedgerSettings) -> Ledger:
        """A ledger that connects when it is first used."""
        return cls(settings)

    def check_server(self) -> list[str]:
        """Looks whether Redis may forget what it was told.

        Returns:
            Warnings: what a crash would lose.

        Raises:
            SetupError: it evicts keys when its memory is full.
            Unavailable: it is away.
        """
        return self._connection.check_server()

    def read_identity(self) -> str | None:
        """The id of the ledger that Redis holds; None: it holds none, or lost it."""
        return read_identity(self._connection)

    def establish_identity(self) -> str:
        """Gives the ledger an id, unless it has one; returns the one that it has."""
        return establish_identity(self._connection)

    def seal_clear(self) -> None:
        """Seals the secrets that an older version kept in the clear.

        Raises:
            SetupError: BOXYARD_SECRET_KEYS is not fit.
        """
        for tenant in self.tenants.names():
            # A damaged record of one tenant must not stop a server that serves them all.
            with suppress(Unreadable):
                self.tenants.seal_clear(tenant)
            with suppress(Unreadable):
                self.endpoints.reseal(tenant, only_clear=True)

    def reseal(self) -> None:
        """Seals all secrets by the first of BOXYARD_SECRET_KEYS.

        Raises:
            SetupError: no key opens one of them; all others are sealed by then.
        """
        failed: list[str] = []
        for tenant in self.tenants.names():
            for reseal in (self.tenants.reseal, self.endpoints.reseal):
                # Secrets that are lost or cannot be read keep no other from being sealed.
                with suppress(NotFound, Unreadable):
                    try:
                        reseal(tenant)
                    except SetupError as error:
                        failed.append(error.detail)
        if failed:
            raise SetupError("\n".join(failed))

    def adopt_blobs(self) -> None:
        """Takes what is in the blob store's place for it: recorded blobs that it lacks are lost."""
        tenants = self.tenants.names()
        self.blobs.adopt(folder for each in tenants for folder in keys.blob_folders(each))

    def close(self) -> None:
        """Closes every connection."""
        self.bells.close()
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
