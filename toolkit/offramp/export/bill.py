"""The bill of materials: SPDX 2.3 as JSON, every file with its digests, in packages with version and licence."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from offramp.export.firmware_files import Part

NAME = "offramp.spdx.json"
TOOL = "Tool: offramp-"


def bill(files: Mapping[str, bytes], owners: Mapping[str, Part], version: str) -> bytes:
    """`owners` says whose each file is. The time is SOURCE_DATE_EPOCH where that is set, so that trees repeat."""
    parts = list(dict.fromkeys(owners[place] for place in sorted(files)))
    ids = {part: f"SPDXRef-Package-{i}" for i, part in enumerate(parts)}
    records = {place: _file(i, place, data) for i, (place, data) in enumerate(sorted(files.items()))}
    contained = [
        _relation(ids[owners[place]], "CONTAINS", record["SPDXID"]) for place, record in records.items()
    ]
    digest = hashlib.sha256(
        "".join(r["fileName"] + r["checksums"][1]["checksumValue"] for r in records.values()).encode()
    )
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "offramp-export",
        "documentNamespace": f"https://spdx.org/spdxdocs/offramp-export-{digest.hexdigest()}",
        "creationInfo": {"created": _now(), "creators": [TOOL + version]},
        "packages": [
            _package(ids[part], part, [records[p] for p in sorted(files) if owners[p] == part])
            for part in parts
        ],
        "files": list(records.values()),
        "relationships": [
            *(_relation("SPDXRef-DOCUMENT", "DESCRIBES", ids[part]) for part in parts),
            *contained,
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    when = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _file(index: int, place: str, data: bytes) -> dict[str, Any]:
    """The standard wants a SHA-1 of every file."""
    return {
        "SPDXID": f"SPDXRef-File-{index}",
        "fileName": f"./{place}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
            {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()},
        ],
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def _package(spdx_id: str, part: Part, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The verification code is SPDX's own: of the files' SHA-1, in order of their digits."""
    digests = sorted(file["checksums"][0]["checksumValue"] for file in files)
    return {
        "SPDXID": spdx_id,
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": True,
        "packageVerificationCode": {
            "packageVerificationCodeValue": hashlib.sha1("".join(digests).encode()).hexdigest()
        },
        "licenseConcluded": part.license,
        "licenseDeclared": part.license,
        "licenseInfoFromFiles": ["NOASSERTION"],
        "copyrightText": part.copyright,
    }


def _relation(of: str, kind: str, to: str) -> dict[str, str]:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}
