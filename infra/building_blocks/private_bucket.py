"""A bucket nobody outside reaches: encrypted, TLS only, public access blocked, every access logged.

Its name, ``onecount-{stage}-{id}-{account}-{region}``, is known beforehand: operators drop files there, and the
policies that admit this bucket alone can be written before it exists.
"""

from __future__ import annotations

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.building_blocks.findings import acknowledge
from infra.building_blocks.python_function import PythonFunction
from infra.building_blocks.stage import Stage
from infra.building_blocks.stage_key import StageKey

RAW_RETENTION = Duration.days(90)
"""How long raw messages and dropped files are kept; the inbox forgets them after the same time."""


class PrivateBucket(Construct):
    """A bucket whose objects go after 90 days, as raw messages do everywhere.

    Parameters
    ----------
    key
        The stage's key; None for S3's own keys, where writers of other accounts must not need rights on ours.
    versioned
        Keep what was overwritten, so that a file dropped twice under one name is read as it was announced.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        stage: Stage,
        access_logs: s3.IBucket,
        key: StageKey | None = None,
        versioned: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self._key = key
        self.name = stage.named(id_, Aws.ACCOUNT_ID, Aws.REGION)
        # As cdk-nag writes it, in the id of a finding.
        self._readable_name = stage.named(id_, "<AWS::AccountId>", "<AWS::Region>")
        self.arn = f"arn:{Aws.PARTITION}:s3:::{self.name}"
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=self.name,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key.key if key else None,
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=versioned,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{id_}/",
            removal_policy=stage.removal_policy,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="forget-raw-messages",
                    expiration=RAW_RETENTION,
                    noncurrent_version_expiration=RAW_RETENTION if versioned else None,
                    abort_incomplete_multipart_upload_after=Duration.days(2),
                )
            ],
        )

    def grant_read(self, function: PythonFunction) -> None:
        """Let ``function`` read objects, in the version named; a missing one answers 404 and not 403."""
        self._grant_objects(function, "s3:GetObject", "s3:GetObjectVersion")
        function.role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[self.arn]))

    def grant_write(self, function: PythonFunction) -> None:
        """Let ``function`` add objects."""
        self._grant_objects(function, "s3:PutObject")

    def _grant_objects(self, function: PythonFunction, *actions: str) -> None:
        objects = f"{self.arn}/*"
        function.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[objects]))
        if self._key:
            self._key.grant_use(function, "s3")
        acknowledge(
            function.role,
            f"IAM5[Resource::arn:<AWS::Partition>:s3:::{self._readable_name}/*]",
            "Objects are named by senders and by message ids, so a right to them can only be stated for the bucket.",
        )


def access_log_bucket(scope: Construct, id_: str, *, stage: Stage) -> s3.Bucket:
    """Return the bucket that receives the access logs of the others."""
    bucket = s3.Bucket(
        scope,
        id_,
        encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery writes to nothing else
        enforce_ssl=True,
        minimum_tls_version=1.2,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        removal_policy=stage.removal_policy,
        lifecycle_rules=[s3.LifecycleRule(id="forget-access-logs", expiration=Duration.days(180))],
    )
    acknowledge(
        bucket, "S1", "This bucket receives the access logs; logging its own access would feed itself."
    )
    return bucket
