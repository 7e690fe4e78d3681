"""A page as a tree of elements."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "path", "use"}


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent, self.children, self.text = tag, dict(attributes), parent, [], ""

    def walk(self, *tags):
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.walk(*tags)

    def words(self):
        return " ".join(" ".join([self.text, *(child.words() for child in self.children)]).split())

    def __getitem__(self, name):
        return self.attributes.get(name)


class Document(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.root = self.current = Element("document", [], None)
        self.feed(text)
        assert self.current is self.root

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes, self.current)
        self.current.children.append(element)
        if tag not in VOID:
            self.current = element

    def handle_startendtag(self, tag, attributes):
        self.current.children.append(Element(tag, attributes, self.current))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.current.tag == tag
            self.current = self.current.parent

    def handle_data(self, data):
        self.current.text += data
