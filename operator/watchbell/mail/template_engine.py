"""Parses and renders one template within fixed bounds: python-liquid's parser under our tokens, names, filters, buffer and count of work.

Before: `template` hands over one field's source, later the values. After: text, or a RefusalError.
Values are plain: dict, list, str, int, bool and None.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import TextIO

from liquid import BoundTemplate, Environment, Node, RenderContext
from liquid.ast import BlockNode
from liquid.builtin.expressions import Path
from liquid.builtin.expressions.logical import ContainsExpression
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.for_tag import ForLoop
from liquid.exceptions import LiquidError, LiquidInterrupt
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap
from markupsafe import escape

from watchbell.mail.nearest import nearest
from watchbell.mail.template_filters import FILTERS, FilterError, kind_of, text_of
from watchbell.mail.template_meter import Meter, MeteredOutput
from watchbell.mail.template_syntax import TAGS, RefusalError, tokens_of

MAX_LOCALS = 64
MAX_NESTING = 12
_LOOP_NAMES = ("first", "index", "index0", "last", "length", "parentloop", "rindex", "rindex0")
_PSEUDO_TAGS = ("content", "output", "illegal")


class _Metered(Node):
    """Any node, with its price: one unit and one for each part of its expressions."""

    __slots__ = ("inner", "price")

    def __init__(self, inner: Node, price: int) -> None:
        super().__init__(inner.token)
        self.inner, self.price, self.blank = inner, price, inner.blank

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Pays, then renders; what is refused without a place stands at this node."""
        try:
            _meter_of(context).charge(self.price, self.token)
            return self.inner.render_to_output(context, buffer)
        except LiquidError as error:
            error.token = error.token or self.token
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Liquid lets a few of Python's own errors through, such as that of `limit: -1`.
            raise RefusalError(f"cannot be rendered: {_words(error)}", token=self.token) from None


class _Contains(ContainsExpression):
    """`a contains b`, paid by the product of both: the search for a text in another is not always one pass."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """True or false."""
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        _meter_of(context).charge_search(left, right, self.token)
        if isinstance(left, str):
            return isinstance(right, str) and right in left
        return isinstance(left, (list, dict)) and right in left


class _PlainOutputNode(OutputNode):
    """`{{ … }}`: texts, numbers, true and false. A list or a group is a mistake of the template, not Python's way of writing it."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Writes the value, escaped where the part is HTML."""
        value = self.expression.evaluate(context)
        try:
            text = text_of(value)
        except FilterError:
            text = f"{self.expression} is {kind_of(value)}; write one of its values, or loop over it"
            raise RefusalError(text, token=self.token) from None
        return buffer.write(escape(text) if context.autoescape else text)


class _PlainOutput(Output):
    node_class = _PlainOutputNode


class _Environment(Environment):
    """Only the tags of `template_syntax` and the filters of `template_filters`: no way to files, objects or other templates."""

    block_nesting_limit = MAX_NESTING
    context_depth_limit = MAX_NESTING + 4

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Liquid's own, less all that is not named."""
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(_PlainOutput)
        self.tags = {name: tag for name, tag in self.tags.items() if name in (*TAGS, *_PSEUDO_TAGS)}
        self.filters = {name: one.function for name, one in FILTERS.items()}

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """Ours, which reads each character once."""
        return tokens_of


class _Context(RenderContext):
    """Names and filters as a template sees them. An unknown name is a mistake wherever it stands, also in a condition."""

    __slots__ = ("meter",)

    def __init__(self, template: BoundTemplate, values: Mapping[str, object], meter: Meter) -> None:
        super().__init__(template, globals=values)
        self.meter = meter
        # Without Liquid's `now` and `today`: a mail that is built again must be the same mail.
        self.scope = ReadOnlyChainMap(self.locals, self.globals)

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """The value at a path of names and indexes; RefusalError where there is none."""
        del default
        self.meter.charge(len(path), token)
        root = path[0]
        value = _item(self.scope, root, (), token)
        for depth, segment in enumerate(path[1:], 1):
            value = _item(value, segment, path[:depth], token)
        self.meter.charge_for(value, token)
        return value

    def assign(self, key: str, val: object) -> None:
        """A name of the template's own."""
        self.meter.charge(1)
        self.locals[str(key)] = val
        if len(self.locals) > MAX_LOCALS:
            raise RefusalError(f"assigns more than {MAX_LOCALS} names", token=None)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """The filter, wrapped into the count of its work."""
        return partial(_filtered, self.meter, name, token)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Each turn is paid before the first one, also of a loop with nothing in it."""
        self.meter.charge(2 * length)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """For `capture`."""
        del buf
        return MeteredOutput(self.meter)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One field, ready to be rendered: its nodes, every name it mentions (in branches too that are rarely taken), and the names it makes itself."""

    template: BoundTemplate
    mentions: tuple[tuple[tuple[object, ...], Token], ...]
    own_names: frozenset[str]


def parse(source: str, *, escapes: bool) -> Parsed:
    """A template whose every node is metered. Raises LiquidError."""
    template = _ESCAPING.from_string(source) if escapes else _PLAIN.from_string(source)
    pricing = _Pricing()
    template.nodes = pricing.metered(template.nodes)
    return Parsed(template, tuple(pricing.mentions), frozenset(pricing.own_names))


def check_names(parsed: Parsed, values: Mapping[str, object]) -> None:
    """Raises RefusalError for the first name that is neither in `values` nor made by the template itself."""
    for path, token in parsed.mentions:
        holder: object = values
        if path[0] in parsed.own_names:
            continue
        for depth, key in enumerate(path):
            if not isinstance(holder, dict) or not isinstance(key, str):
                break
            holder = _item(holder, key, path[:depth], token)


def render(parsed: Parsed, values: Mapping[str, object], meter: Meter) -> str:
    """The text. Raises LiquidError."""
    context, buffer = _Context(parsed.template, values, meter), MeteredOutput(meter)
    for node in parsed.template.nodes:
        try:
            node.render(context, buffer)
        except LiquidInterrupt as interrupt:
            raise RefusalError(f"{{% {interrupt} %}} stands outside of a loop", token=node.token) from None
    return buffer.getvalue()


_PLAIN = _Environment()
_ESCAPING = _Environment(autoescape=True)


def _meter_of(context: RenderContext) -> Meter:
    if not isinstance(context, _Context):
        raise TypeError("a metered node needs a metered context")
    return context.meter


class _Pricing:
    """Goes through a new template once: puts a price on every node, and notes the names."""

    def __init__(self) -> None:
        self.mentions: list[tuple[tuple[object, ...], Token]] = []
        self.own_names = {"forloop"}

    def metered(self, nodes: list[Node]) -> list[Node]:
        """The nodes of one block, each with its price."""
        return [_Metered(node, 1 + self._price(node)) for node in nodes]

    def _price(self, node: Node) -> int:
        """The parts of the expressions that may be evaluated before any other node is; the blocks below are metered on the way."""
        price = sum(map(self._parts, node.expressions()))
        self.own_names.update(map(str, (*node.template_scope(), *node.block_scope())))
        for child in node.children(_NO_CONTEXT):
            if isinstance(child, BlockNode):
                child.nodes = self.metered(child.nodes)
            else:
                price += 1 + self._price(child)
        return price

    def _parts(self, expression: Expression) -> int:
        """How many there are; on the way each `contains` becomes the one that is paid."""
        if type(expression) is ContainsExpression:
            expression.__class__ = _Contains
        if isinstance(expression, Path):
            self.mentions.append((tuple(expression.path), expression.token))
        return 1 + sum(map(self._parts, expression.children()))


def _words(error: Exception) -> str:
    return "limit and offset must be 0 or more" if "islice" in str(error) else str(error)[:200]


def _item(holder: object, key: object, path: tuple[object, ...] | list[object], token: Token | None) -> object:
    """One step of a path. Only what plain values hold; never an attribute."""
    match holder:
        case ReadOnlyChainMap() | dict() | ForLoop() if isinstance(key, str):
            found = holder.get(key, UNDEFINED)
            if found is UNDEFINED and key == "size" and isinstance(holder, dict):
                return len(holder)
            if found is not UNDEFINED:
                return None if key == "parentloop" and not isinstance(found, ForLoop) else found
            raise _unknown(holder, key, path, token)
        case list() | tuple() if isinstance(key, int):
            return holder[key] if -len(holder) <= key < len(holder) else None
        case list() | tuple() if key in ("first", "last"):
            return (holder[0] if key == "first" else holder[-1]) if holder else None
        case list() | tuple() | str() if key == "size":
            return len(holder)
        case None:
            raise RefusalError(
                f"{_path(path)} is empty here, so it has no {str(key)[:40]!r}; ask {{% if {_path(path)} %}} before",
                token=token,
            )
        case _:
            raise RefusalError(f"{_path(path)} is {kind_of(holder)} and has no {str(key)[:40]!r}", token=token)


def _unknown(
    holder: Mapping[str, object], key: str, path: tuple[object, ...] | list[object], token: Token | None
) -> RefusalError:
    known = _LOOP_NAMES if isinstance(holder, ForLoop) else sorted(str(name) for name in holder)
    close = nearest(key, known)
    hint = f"did you mean {_path((*path, close))}?" if close else f"there are {', '.join(known[:40]) or 'none'}"
    return RefusalError(f"{_path((*path, key[:80]))} is not a known name; {hint}", token=token)


def _path(path: tuple[object, ...] | list[object]) -> str:
    """As people write it."""
    words = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(words).removeprefix(".")[:200]


def _filtered(
    meter: Meter, name: str, token: Token | None, value: object, *arguments: object, **named: object
) -> object:
    one = FILTERS.get(name)
    if one is None:
        close = nearest(name, FILTERS)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(FILTERS)}"
        raise RefusalError(f"there is no filter {name[:40]!r}; {hint}", token=token)
    if named or not one.fewest <= len(arguments) <= one.most:
        takes = f"{one.fewest} to {one.most}" if one.fewest != one.most else str(one.fewest)
        raise RefusalError(f"filter {name} takes {takes} arguments without names", token=token)
    for each in (value, *arguments):
        meter.charge_for(each, token)
    if one.searches:
        meter.charge_search(value, arguments[0], token)
    try:
        return one.function(value, *arguments)
    except FilterError as problem:
        raise RefusalError(f"filter {name} {problem}", token=token) from None


_NO_CONTEXT = RenderContext(_PLAIN.from_string(""))
