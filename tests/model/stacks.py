#!/usr/bin/env python3
"""Random layer stacks as OCI layouts, with what a naive model makes of them.

    stacks.py OUT COUNT SEED     writes OUT/oci (images s0, s1, …) and OUT/want/sN (a listing as tests/lib/treelist prints it, without times)

The model is a tree of plain Python objects to which the entries of each layer are applied in their order:
  * parents of a path are resolved through links inside the root (".." stops at the root); missing ones become directories 0755;
  * a directory over a directory takes the new attributes; anything else replaces what is there;
  * a whiteout or opaque marker removes only what lower layers put there;
  * a hard link is one more name of the node.
Where umoci is known to differ (tests/model/README.md) the generator doesn't go.
"""
import hashlib
import io
import json
import os
import random
import sys
import tarfile

NAMES = ["a", "b", "c", "d", "lib", "usr"]


class Node:
    def __init__(self, kind, mode=0o755, uid=0, data=b"", target="", xattr=None):
        self.kind, self.mode, self.uid, self.data, self.target, self.xattr = kind, mode, uid, data, target, xattr
        self.children = {} if kind == "d" else None
        self.layers = {}  # per child: the last layer that named it or put something below it


class Refused(Exception):
    pass


class Model:
    def __init__(self):
        self.root = Node("d")
        self.layer = 0

    def resolve_dir(self, parts, create=False):
        """Chain of (directory, its name) from the root to `parts`, through links; None when it isn't there."""
        chain, todo, links = [(self.root, "")], list(parts), 0
        while todo:
            p = todo.pop(0)
            if p in ("", "."):
                continue
            if p == "..":
                if len(chain) > 1:
                    chain.pop()
                continue
            child = chain[-1][0].children.get(p)
            if child is None:
                if not create:
                    return None
                child = Node("d")
                chain[-1][0].children[p] = child
                chain[-1][0].layers[p] = self.layer
            if child.kind == "l":
                links += 1
                if links > 40:
                    raise Refused("loop")
                if child.target.startswith("/"):
                    chain = [(self.root, "")]
                todo = child.target.split("/") + todo
                continue
            if child.kind != "d":
                if not create:
                    return None
                raise Refused("parent is no directory")
            chain.append((child, p))
        return chain

    def add(self, path, node):
        *parents, name = path.split("/")
        chain = self.resolve_dir(parents, create=True)
        d = chain[-1][0]
        old = d.children.get(name)
        if old is not None and old.kind == "d" and node.kind == "d":
            old.mode, old.uid, old.xattr = node.mode, node.uid, node.xattr
            node = old
        d.children[name] = node
        d.layers[name] = self.layer
        for (parent, _), (_, part) in zip(chain, chain[1:]):
            parent.layers[part] = self.layer

    def find(self, path):
        *parents, name = path.split("/")
        chain = self.resolve_dir(parents)
        return chain and chain[-1][0].children.get(name)

    def link(self, path, target):
        node = self.find(target)
        if node is None or node.kind == "d":
            raise Refused("hard link to nothing")
        self.add(path, node)

    def prune(self, d):
        """Removes what lower layers put below d."""
        for name in list(d.children):
            self.hide(d, name)

    def hide(self, d, name):
        if d.layers[name] != self.layer:
            del d.children[name], d.layers[name]
        elif d.children[name].kind == "d":
            self.prune(d.children[name])

    def whiteout(self, path):
        *parents, name = path.split("/")
        chain = self.resolve_dir(parents)
        if chain and name in chain[-1][0].children:
            self.hide(chain[-1][0], name)

    def opaque(self, path):
        chain = self.resolve_dir(path.split("/") if path else [])
        if chain:
            self.prune(chain[-1][0])

    def walk(self):
        todo = [("", self.root)]
        while todo:
            path, d = todo.pop()
            yield path, d
            for name, c in d.children.items():
                p = f"{path}/{name}"
                if c.kind == "d":
                    todo.append((p, c))
                else:
                    yield p, c

    def listing(self):
        names = {}
        for _, n in self.walk():
            names[id(n)] = names.get(id(n), 0) + 1
        out = []

        def visit(path, n):
            links = 2 + sum(c.kind == "d" for c in n.children.values()) if n.kind == "d" else names[id(n)]
            line = f"{path or '/'} {'-' if n.kind == 'f' else n.kind}{0o777 if n.kind == 'l' else n.mode:04o} {n.uid}:{n.uid}"
            if n.kind != "d":
                line += f" size={len(n.target) if n.kind == 'l' else len(n.data)}"
            line += f" links={links}"
            if n.kind == "l":
                line += f" -> {n.target}"
            if n.xattr:
                line += f" user.x={n.xattr}"
            if n.kind == "f":
                line += " " + hashlib.sha256(n.data).hexdigest()
            out.append(line)
            for name in sorted(n.children or {}):
                visit(f"{path}/{name}", n.children[name])

        visit("", self.root)
        return "\n".join(out) + "\n"


def random_path(rng, depth=3):
    return "/".join(rng.choice(NAMES) for _ in range(rng.randint(1, depth)))


def make_layer(rng, m, index):
    """Random entries, each tried on the model; those that a tar reader would refuse are left out."""
    entries, m.layer = [], index
    for _ in range(rng.randint(1, 9)):
        path = random_path(rng)
        what = rng.choices(["f", "d", "l", "h", "w", "o", "p"], [30, 18, 14, 10, 14, 7, 3])[0]
        if index == 0 and what in "wo":
            what = "f"
        try:
            if what in "fdp":
                n = Node(what, rng.choice([0o644, 0o755, 0o600, 0o4755]), rng.choice([0, 33, 1000]),
                         xattr=rng.choice([None, None, "y"]) if what in "fd" else None)
                if what == "f":
                    n.data = b"%d of layer %d\n" % (rng.randint(0, 9), index) * rng.randint(0, 3)
                m.add(path, n)
                entries.append((what, path, n))
            elif what == "l":
                up = "../" * rng.randint(0, 2)
                target = rng.choice([random_path(rng, 2), "/" + random_path(rng, 2), up + random_path(rng, 1), "usr/lib", "/usr"])
                n = Node("l", target=target)
                m.add(path, n)
                entries.append(("l", path, n))
            elif what == "h":
                files = sorted(p[1:] for p, n in m.walk() if n.kind == "f")
                if not files:
                    continue
                target = rng.choice(files)
                node = m.find(target)
                old = m.find(path)
                if old is node or path == target or path.startswith(target + "/") or target.startswith(path + "/"):
                    continue  # replacing the target by a link to itself
                m.link(path, target)
                entries.append(("h", path, target))
            elif what == "w":
                lower = sorted(p[1:] for p, _ in m.walk() if p)
                path = rng.choice(lower + [path]) if lower else path
                m.whiteout(path)
                entries.append(("w", path, None))
            else:
                dirs = sorted(p[1:] for p, n in m.walk() if n.kind == "d" and p)
                if not dirs:
                    continue
                path = rng.choice(dirs)
                m.opaque(path)
                entries.append(("o", path, None))
        except Refused:
            continue
    return entries


def tar_of(entries):
    f = io.BytesIO()
    t = tarfile.open(fileobj=f, mode="w", format=tarfile.PAX_FORMAT)
    for kind, path, x in entries:
        h = tarfile.TarInfo(path)
        h.mtime = 1000000000
        data = b""
        if kind == "f":
            data = x.data
            h.size = len(data)
        elif kind == "d":
            h.type = tarfile.DIRTYPE
        elif kind == "p":
            h.type = tarfile.FIFOTYPE
        elif kind == "l":
            h.type, h.linkname, h.mode = tarfile.SYMTYPE, x.target, 0o777
        elif kind == "h":
            h.type, h.linkname = tarfile.LNKTYPE, x
        elif kind == "w":
            h.name = os.path.join(os.path.dirname(path), ".wh." + os.path.basename(path))
        else:
            h.name = path + "/.wh..wh..opq"
        if kind in "fdp":
            h.mode, h.uid, h.gid = x.mode, x.uid, x.uid
            if x.xattr:
                h.pax_headers = {"SCHILY.xattr.user.x": x.xattr}
        t.addfile(h, io.BytesIO(data))
    t.close()
    return f.getvalue()


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    blobs = f"{out}/oci/blobs/sha256"
    os.makedirs(blobs)
    os.makedirs(f"{out}/want")

    def put(b):
        d = hashlib.sha256(b).hexdigest()
        with open(f"{blobs}/{d}", "wb") as f:
            f.write(b)
        return {"digest": "sha256:" + d, "size": len(b)}

    manifests = []
    for i in range(count):
        rng = random.Random(f"{seed}/{i}")
        m = Model()
        tars = [tar_of(make_layer(rng, m, k)) for k in range(rng.randint(1, 6))]
        layers = [dict(put(t), mediaType="application/vnd.oci.image.layer.v1.tar") for t in tars]
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"n": str(i)}},
                                 "rootfs": {"type": "layers", "diff_ids": [x["digest"] for x in layers]}}).encode())
        manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                   "config": dict(config, mediaType="application/vnd.oci.image.config.v1+json"), "layers": layers}).encode())
        manifests.append(dict(manifest, mediaType="application/vnd.oci.image.manifest.v1+json",
                              annotations={"org.opencontainers.image.ref.name": f"s{i}"}))
        with open(f"{out}/want/s{i}", "w") as f:
            f.write(m.listing())
    with open(f"{out}/oci/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(f"{out}/oci/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": manifests}, f)


if __name__ == "__main__":
    main()
