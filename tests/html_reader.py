"""A parser of pages that says what is in them and whether it is whole."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """Elements, what they refer to, and the text; every element must be closed by its own end."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.count, self.references, self.texts = [], {}, [], []
        self.ids, self.alts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        attrs = dict(attrs)
        self.references += [attrs[name] for name in ("src", "href", "action", "srcset") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.alts += [attrs["alt"]] if "alt" in attrs else []
        assert not any(name.startswith("on") for name in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
