r"""Two hundred strings that a careless page would take for markup, script, style, a template or a formula.

``HOSTILE`` is plain data for keys, names, log lines and error texts.  Whatever a payload becomes shows in one of four
ways, all of which :func:`hits_in` (a live page) looks for, shadow trees and frames included: it ran (``top.__hit``),
it made an element (which carries ``data-hit``), it styled one (``--hit``), or it was evaluated (9973·8647 reads
``86236531``, formulas become elements of a typesetter).  :func:`markup_in` finds such elements in HTML that no browser
has read.
"""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import product
from typing import Any, Final

RUN: Final = "top.__hit=1"
"""What a payload does if it gets the chance."""

BREAKOUTS: Final = ("", '">', "'>", "</script>", "</style>", "</textarea></title>", "-->", "]]>")
"""What ends the place that a value was put into: text, attributes, raw text elements, comments, CDATA."""
ELEMENTS: Final = (
    f"<script data-hit>{RUN}</script>",
    f'<img data-hit src=x onerror="{RUN}">',
    f"<svg data-hit onload={RUN}>",
    f'<svg data-hit><script>{RUN}</script><a xlink:href="javascript:{RUN}"><text>x</text></a></svg>',
    f'<math data-hit><mtext><img data-hit src=x onerror="{RUN}"></mtext></math>',
    f'<iframe data-hit srcdoc="<script>{RUN}</script>"></iframe>',
    f'<details data-hit open ontoggle="{RUN}">x</details>',
    f'<input data-hit autofocus onfocus="{RUN}">',
    f'<video data-hit><source onerror="{RUN}"></video>',
    f'<a data-hit href="javascript:{RUN}">x</a>',
    "<style data-hit>:root,body,div{--hit:1}</style>",
    "<b data-hit>bold</b>",
    "<plaintext data-hit>",
    "<base data-hit href=//127.0.0.1:9/>",
)
"""What is put there."""

ATTRIBUTES: Final = (
    f'" onmouseover="{RUN}" data-hit="',
    f"' onmouseover='{RUN}' data-hit='",
    f"` onmouseover=`{RUN}` data-hit=`",
    f'x" autofocus onfocus={RUN} data-hit=',
    f'"onclick={RUN}/data-hit ',
    f"x style=animation:x onanimationstart={RUN} data-hit",
    '" style="--hit:1" data-hit="',
    '"><',
    "'\"",
    "\\'\\\"",
)
ADDRESSES: Final = (
    f"javascript:{RUN}",
    f"JaVaScRiPt:{RUN}",
    f" javascript:{RUN}",
    f"java\tscript:{RUN}",
    f"javascript&colon;{RUN}",
    f"data:text/html,<script data-hit>{RUN}</script>",
    f"vbscript:{RUN}",
    f"//127.0.0.1:9/%22onerror={RUN}",
    "../../../../etc/passwd",
    "http://user:password@127.0.0.1:9/",
)
SCRIPTS: Final = (
    f'"-({RUN})-"',
    f"'-({RUN})-'",
    f"`-${{{RUN}}}-`",
    f'";{RUN};//',
    f"';{RUN};//",
    f"\\';{RUN};//",
    f'"}};{RUN};//',
    f"*/{RUN}/*",
    f"\n{RUN}\n",
    f"\u2028{RUN}\u2029",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    '{"__proto__": {"hit": 1}}',
)
TEMPLATES: Final = (
    "{{9973*8647}}",
    "{{ constructor.constructor('top.__hit=1')() }}",
    "{%raw%}{{9973*8647}}{%endraw%}",
    "{% for x in (9973*8647,) %}{{x}}{% endfor %}",
    "${9973*8647}",
    "#{9973*8647}",
    "<%= 9973*8647 %>",
    "<% top.__hit=1 %>",
    "<%- '<b data-hit>' %>",
    "@{key}{safe}",
    "@key{safe}",
    "@{<b data-hit>}{safe}",
    "@name{custom}",
    "$x{0.0} $index @$name",
    "%(key)s %s %n %x",
    "{0.__class__} {key!r} {}",
    "$(top.__hit=1) `top.__hit=1`",
    "v-html='x' :data-hit='1'",
)
STYLES: Final = (
    "red;--hit:1",
    "red}*{--hit:1}",
    "url(javascript:top.__hit=1)",
    "expression(top.__hit=1)",
    "1px;position:fixed;inset:0;background:red",
    "</style><b data-hit>",
    "#000'></span><b data-hit>",
    "@import 'http://127.0.0.1:9/x.css';",
)
FORMULAS: Final = (
    "$$\\frac{1}{2}$$",
    "$\\href{javascript:top.__hit=1}{x}$",
    "\\(\\unicode{x41}\\)",
    "\\[\\require{html}\\class{hit}{x}\\]",
    "\\begin{equation}x\\end{equation}",
    "$$\\style{--hit:1}{x}$$",
)
ENTITIES: Final = (
    "&lt;b data-hit&gt;",
    "&#60;b data-hit&#62;",
    "&#x3c;b data-hit&#x3e;",
    "&amp;lt;b data-hit&amp;gt;",
    "%3Cb%20data-hit%3E",
    "\\u003cb data-hit\\u003e",
    "\uff1cb data-hit\uff1e",
    "&nbsp;&copy;&",
)
CHARACTERS: Final = (
    "\u202etxt.exe\u202c",
    "\u200b\u200d\ufeffinvisible",
    "a\u0301\u0323\u20d2 zalgo",
    "\x00<b data-hit>\x00",
    "\x1b[31mred\x1b[0m\x1b]8;;http://127.0.0.1:9/\x07link\x1b]8;;\x07",
    "back\b\b\b\bspace\rreturn",
    "tab\tnewline\nand\r\nmore",
    "\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a'b\"c`d\\e/f",
    "(1, '<b data-hit>')",
    "<" * 2_000,
    "<b data-hit>" + "x" * 3_000,
    " ",
)

HOSTILE: Final[tuple[str, ...]] = (
    *(breakout + element for breakout, element in product(BREAKOUTS, ELEMENTS)),
    *ATTRIBUTES,
    *ADDRESSES,
    *SCRIPTS,
    *TEMPLATES,
    *STYLES,
    *FORMULAS,
    *ENTITIES,
    *CHARACTERS,
)

DETECT: Final = """() => {
  const found = new Set(), roots = [document];
  if (window.__hit !== undefined || top.__hit !== undefined) found.add('a payload ran');
  if ({}.hit !== undefined) found.add('the prototype of all objects was changed');
  for (const root of roots) {
    for (const node of root.querySelectorAll('*')) {
      if (node.shadowRoot) roots.push(node.shadowRoot);
      if (node.hasAttribute('data-hit')) found.add('an element: ' + node.outerHTML.slice(0, 200));
      if (/^(mjx-|math$)/i.test(node.localName)) found.add('a formula: ' + node.textContent.slice(0, 200));
      // JupyterLab itself makes links of what looks like one in plain text
      const link = node.closest('.jp-RenderedText') ? '' : node.getAttribute('href') ?? '';
      if (/^\\s*(javascript|vbscript|data:text)/i.test(link))
        found.add('a link: ' + node.outerHTML.slice(0, 200));
      if (node.style?.getPropertyValue('--hit')) found.add('a style: ' + node.outerHTML.slice(0, 200));
    }
    for (const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT); walker.nextNode();) {
      const { data, parentElement } = walker.currentNode;
      if (data.includes('86236531') && !parentElement?.closest('script, style'))
        found.add('evaluated: ' + data.slice(0, 200));
    }
  }
  if (getComputedStyle(document.body).getPropertyValue('--hit')) found.add('a style sheet');
  return [...found];
}"""
"""To be evaluated in a frame: a list of sentences, empty when nothing became of the payloads."""


def hits_in(page: Any) -> list[str]:
    """Return what became of payloads in a Playwright page and its frames."""
    return [line for frame in page.frames for line in frame.evaluate(DETECT)]


def assert_no_markup(page: Any) -> None:
    """Fail if any payload became more than text."""
    assert (hits := hits_in(page)) == [], "\n".join(hits)


class Elements(HTMLParser):
    """Collects the elements that came out of payloads."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element with the mark, or with a link that runs."""
        named = dict(attrs)
        link = (named.get("href") or "").strip().lower()
        if "data-hit" in named or link.startswith(("javascript", "vbscript", "data:text")):
            self.found.append(self.get_starttag_text() or tag)


def markup_in(html: str) -> list[str]:
    """Return the tags in this HTML that payloads became."""
    parser = Elements()
    parser.feed(html)
    parser.close()
    return parser.found
