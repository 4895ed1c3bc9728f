"""The client in a few lines: submit pictures, wait, read what was found in them.

Start `boxyard up`, set BOXYARD_API_KEY to the key that it prints, then
`python examples/quickstart.py examples/images/*.jpg`.
"""

import sys

from boxyard_producer import Client

with Client() as client:
    job = client.submit("rtmdet-ins_demo", sys.argv[1:])
    client.wait(job.id, timeout_s=120)
    for image in client.result(job.id).images:
        if image.status == "succeeded":
            for found in image.boxes:
                print(f"{image.reference}  {found.label}  {found.score:.2f}")
        else:
            print(f"{image.reference}  {image.code}: {image.detail}")
