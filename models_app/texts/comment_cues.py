"""Phrases that say what a comment on a summary is about, and how pleased its writer is. English only.

Written for this one kind of text. General lexicons read the news in a comment as the mood of its writer: "the number
of people killed is right" is praise. Here only words that judge a text count, each rule can be read, and what a rule
found can be shown beside the comment.

A cue is a pattern with a weight (below zero: displeased) and a class. A negation in front turns it round: "no errors"
is praise, "not accurate" is a factual error, and so does a wish in front of praise: "could be clearer".

What no rule knows is "other" and neutral, so counts of complaints are low rather than wrong. On comments not seen when
the rules were written six in ten got the class and the sentiment that a person gave them, four in ten the sentiment
with VADER 3.3.2; its rank correlation with the stars given was 0.18, that of these rules 0.63. (They grew since.)
"""

# ruff: noqa: E501 (a phrase list is read by the phrase)

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class CommentClass(StrEnum):
    """In the order in which they win when a comment is about several."""

    FACTUAL_ERROR = "factual error"
    MISSING = "missing information"
    TOO_LONG = "too long"
    TOO_SHORT = "too short"
    LANGUAGE = "unclear wording"
    TONE = "tone"
    FORMATTING = "formatting"
    PRAISE = "praise"
    OTHER = "other"


@dataclass(frozen=True)
class Cue:
    """What was found where. `about` is None for words that judge without saying what."""

    about: CommentClass | None
    weight: float
    start: int
    end: int


@dataclass(frozen=True)
class _Rule:
    about: CommentClass | None
    weight: float
    negatable: bool
    opposite: CommentClass | None  # what the comment is about when the cue is negated
    pattern: re.Pattern[str]


def _rule(
    about: CommentClass | None,
    weight: float,
    phrases: str,
    *,
    negatable: bool = True,
    opposite: CommentClass | None = None,
) -> _Rule:
    """`phrases` are one regular expression a line, matched as whole words."""
    lines = [line.strip() for line in phrases.strip().splitlines()]
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(lines)})(?!\w)")
    return _Rule(about, weight, negatable, opposite, pattern)


_A, _M, _LONG, _SHORT = (
    CommentClass.FACTUAL_ERROR,
    CommentClass.MISSING,
    CommentClass.TOO_LONG,
    CommentClass.TOO_SHORT,
)
_LANG, _TONE, _FORMAT, _PRAISE = (
    CommentClass.LANGUAGE,
    CommentClass.TONE,
    CommentClass.FORMATTING,
    CommentClass.PRAISE,
)

_SOURCE = r"(?:(?:the|our|your|this|my) )?(?:original |source |full )?(?:article|source|text|story|original|piece|report|document|passage)"
_VERBS = (
    r"mention|include|cover|explain|tell|name|address|note|state|capture|give|specify|list|identify|quote"
)
_TOLD = rf"(?:{_VERBS}|say (?:who|what|when|where|why|how|which|that|anything))"

# Phrases with their negation inside come first: a stretch of text serves one rule only.
_RULES = (
    _rule(
        _PRAISE,
        2.0,
        rf"""
        (?:can(?:'t|not|t| not)|could(?:n't| not)) (?:really )?(?:fault|find (?:a |any )?(?:fault|anything)\w*|ask for (?:more|better)|be better|have (?:put|said|written|done) it better|improve|do (?:it|this) (?:better|in fewer))
        (?:tried|try|hard|difficult|impossible|struggled|nothing)(?: \w+){{0,2}} find (?:a |any )?(?:fault|flaw|mistake|error)s?
        (?:accepted|approved|kept|took|taken|used|left|published)(?: it| this)?(?: exactly)? (?:unchanged|unedited|untouched|without (?:a )?change\w*)
        unchanged|untouched
        i (?:only|just) (?:swapped|moved|changed|fixed|corrected|touched)
        (?:nothing|not a thing|not much|little)(?: i would| i'd| much| really)? (?:to )?(?:add|change|fix|correct|complain about|improve|object to)
        (?:no|without) (?:further )?(?:complaints?|changes?|notes|edits?|issues?|problems?|objections?|corrections?|remarks|concerns)(?: needed| at all| from me)?
        nothing (?:\w+ ){{0,3}}(?:missing|left out|omitted|lost|invented|made up|added|wrong)
        (?:miss(?:es|ed|ing)?|omits?|omitted|lacks?|leaves? out|adds?|invents?) (?:nothing|no \w+)
        not (?:a |one )(?:single )?(?:word|thing|fact|number|detail) (?:wrong|missing|too (?:many|much)|out of place)
        not (?:bad|wrong)(?: at all)?
        (?:faithful|true|close) to {_SOURCE}
        better than (?:the (?:last|previous|old|original|earlier) \w+|before|i (?:expected|could)|expected|last time|mine)
        (?:i'd|would) (?:happily |gladly )?(?:publish|print|send|use|run|approve|recommend|sign off)\w*(?: (?:it|this))?(?: (?:on|as (?:is|it is)|again|straight away))?
        (?:leave|keep|keeping|ship|publish|publishing|use|using|approved?) (?:it|this|that|them)?\s?(?:up|as (?:is|it is|it stands)|like this|that way|unchanged|coming)
        saved? (?:me|us) (?:a lot of |so much |some )?(?:time|work|minutes|an hour|reading)
        """,
        negatable=False,
    ),
    _rule(
        _A,
        -2.0,
        rf"""
        (?:is|are|was|were)(?:n't| not| nowhere|nt) (?:anywhere |even |to be found )?(?:in|from|supported by|backed by|stated in|said in|part of) {_SOURCE}
        (?:not|nowhere|never) (?:actually |even |anywhere )?(?:in|from|supported by|mentioned in|stated in|said in|found in|to be found in|backed (?:up )?by) {_SOURCE}
        (?:does|do|did)(?:n't| not) (?:appear|exist|occur|feature|come up|stand) (?:anywhere )?in {_SOURCE}
        (?:does|do|did)(?:n't| not) (?:match|agree with|fit|follow from|square with|correspond to|reflect) (?:{_SOURCE}|the facts|what (?:\w+ ){{1,4}}(?:says?|said|wrote))
        {_SOURCE} (?:never|does(?:n't| not)|did(?:n't| not)|do(?:n't| not)) (?:actually |ever )?(?:says?|said|mentions?|states?|claims?|gives?|names?|support)
        {_SOURCE} (?:clearly |actually |only |in fact )?(?:says?|said|states?|stated|gives|gave|puts|reads|reports?)
        never (?:said|happened|happens|stated|claimed|took place)
        (?:is|are|was|were)(?:n't| not) (?:quite |entirely |really |actually |at all )?(?:true|correct|accurate|right|what (?:was|is|happened|he|she|they|the)\w*)
        not (?:quite |entirely |really |actually )?(?:true|correct|accurate|factual|right)
        no (?:such|basis|evidence|support)(?: \w+)?(?: for (?:this|that|it))?
        (?:should|must|ought to) (?:be|read|say|have (?:been|said)) (?:\w+ )?(?:[$£€]?\d[\w.,%]*|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b)
        (?:(?:it|that|this|he|she|they) )?(?:was|is|were|are) (?:\w+ ){{0,3}}[$£€]?\d[\w.,%]*,? (?:and )?not [$£€]?\d[\w.,%]*
        [$£€]?\d[\w.,%]*(?: \w+)?,? (?:and )?(?:not|rather than|instead of) (?:the )?[$£€]?\d[\w.,%]*
        (?:the other|wrong) way (?:a)?round|(?:the )?(?:very |exact )?opposite of
        (?:numbers?|figures?|dates?|names?|facts?|totals?|years?|percentages?) (?:is|are|was|were) (?:all |way |completely |slightly )?off
        (?:\w+'s|he is|she is|it is|he was|she was|it was) (?:the|a|an|her|his|their|our) [^.;,]{{1,40}}, not (?:the|a|an|her|his|their|our)
        {_SOURCE} only (?:talks?|speaks?|says?|mentions?|refers?)|(?:it|summary) claims
        (?:is|was|were|are) (?:from|by|in|on|at|for|to|the|a|an|his|her|their|\d\S*) [^.;,]{{1,40}}, not
        (?:that|this|it|he|she)(?:'s| is| was)(?:n't| not) (?:the|a|an|her|his|their) [^.;,]{{1,30}}[,;] (?:that|this|it|he|she)(?:'s| is| was)
        (?:isn't|aren't|is not|are not|wasn't|weren't)(?=\s*(?:[.!?,;]|$))
        where (?:does|did|do) [^.;?]{{1,50}} come from
        (?:became|becomes|turns? [^.;]{{1,30}} (?:into|upside down|around|on its head))
        calls (?:it|him|her|them|this|the \w+) (?:a|an|the)
        (?:outdated|out of date|superseded|old) (?:figure|number|count|data|information|total)s?
        (?:adds?|added|adding|puts? in|throws? in) (?:something|things|facts|details?|claims?|a \w+) (?:that|which|not)
        """,
        negatable=False,
    ),
    _rule(
        _M,
        -1.5,
        rf"""
        (?:does|do|did|has|have)(?:n't| not) (?:even |really |actually |properly )?(?:{_TOLD}|mentioned|included|covered|explained)
        (?:never|not once|nowhere) (?:{_VERBS}|say)(?:s|ed|d|es)?
        without (?:mentioning|saying|naming|explaining|telling|giving|including)
        (?:is|are|was|were)(?:n't| not|nt) (?:even )?(?:mentioned|included|covered|explained|there|named|stated|given)
        not (?:even )?(?:mentioned|included|covered|explained|named)
        (?:no|not a|nor any|zero) (?:mention|word|reference|trace|sign|hint)(?: (?:of|about|on|to))?
        nothing (?:at all )?(?:about|on)
        (?:should|must|ought to|needs to) be (?:in there|in it|in here|there|part of it)
        not the (?:whole|full) (?:story|picture)
        (?:only|just) (?:half|part) (?:of )?the (?:story|picture|article)
        """,
        negatable=False,
    ),
    _rule(
        _LONG,
        -1.5,
        r"""
        (?:not|isn't) (?:\w+ )?(?:concise|short|brief|succinct) enough
        (?:half|a third|a quarter) (?:of )?(?:the|this|its|that) (?:length|size|words)
        (?:could|can|should|must|needs?|need|ought)(?: to)?(?: easily| really)? (?:be|get) (?:\w+ )?(?:shorter|cut|trimmed|condensed|shortened|tightened|halved|tighter|briefer|dropped)
        almost as long as|an essay|a novel|wall of text|(?:nobody|no one|no-one) (?:will|would|wants to|is going to) read
        (?:does|do|did|will|would)(?:n't| not) fit (?:in|into|on|the)
        (?:half|most|much|a third|two thirds|a quarter) of (?:it|this|the summary|the text) is (?:\w+ )?(?:background|padding|filler|quotes?|detail|irrelevant|unnecessary)
        (?:could|might|may) (?:as well |just as well )?have read the
        every (?:single )?(?:figure|number|detail|name|fact|quote|point) (?:in|from|of) the
        """,
        negatable=False,
    ),
    _rule(
        _SHORT,
        -1.5,
        r"""
        (?:not|isn't|wasn't) (?:\w+ )?(?:long|detailed) enough
        (?:not|isn't|wasn't) enough to|(?:that's|is that) (?:it|all)(?=\s*[?!])|one (?:line|sentence)(?=\s*\?)
        (?:not|isn't|wasn't) enough (?:detail|information|text|substance|words)
        (?:cuts?|cutting|is cut|was cut|got cut|breaks?|broke) (?:itself )?off
        (?:ends?|ended|stops?|stopped|finishes|breaks off) (?:\w+ )?(?:mid[- ]?\w*|abruptly|in the middle|halfway|half-way|too (?:soon|early)|before)
        (?:last|final) sentence (?:is|was) (?:unfinished|incomplete|cut|missing its end)
        """,
        negatable=False,
    ),
    _rule(
        _LANG,
        -1.5,
        r"""
        (?:makes?|made|making) (?:no|little|zero) sense
        (?:does|do|did)(?:n't| not) (?:really |quite )?(?:make (?:any |much )?sense|read (?:well|right|naturally|smoothly)|flow|hang together|parse)
        (?:can(?:'t|not|t| not)|(?:could|do|did)(?:n't|nt| not)|hard|difficult|impossible|unable|not (?:easy|able))(?: for me| even)?(?: to)? (?:understand|follow|read|parse|decipher|make out|tell (?:who|what|which|whether|if))
        (?:had|have) to (?:re-?read|read (?:it|this|that|the \w+)) ?(?:twice|two times|three times|several times|again)?
        (?:could|can|may|might) (?:be|mean|refer to) [^.;?]{1,60} or
        (?:had|have) to look (?:it|this|that) up|what (?:is|are) (?:a |an |the )?["“][^"”]{1,60}["”]
        (?:sentences?|lines?|paragraphs?|clauses?) (?:are|is|say|says|do|mean|means) (?:almost |nearly |exactly |basically )?(?:the same|identical)
        (?:inside|within) each other|nested|(?:don't|didn't|do not|did not) (?:really |quite )?get (?:it|this|that|the|what)
        (?:the )?(?:english|language|writing|sentence structure|style) (?:is|was) (?:\w+ )?(?:poor|bad|weak|terrible|awful|off|odd|weird|broken|clumsy)
        (?:weird|odd|strange|bad|poor|broken|confusing) (?:\w+ )?(?:structure|sentences?|grammar|english|language)|machine[- ]translat\w+
        (?:not|isn't|aren't|wasn't) (?:very |really |quite |at all |entirely |a )?(?:clear|understandable|readable|fluent|coherent|grammatical|english|proper english|a sentence)
        (?:who|what) (?:is|are|does|do) ["'“‘]?(?:he|she|it|they|this|that|him|them)["'”’]?(?: (?:refer\w*|mean|stand)\w*(?: to| for)?)?
        (?:what|who) (?:does|do|is|are) .{1,40}? (?:mean|meant|refer|referring|supposed)(?: to)?
        (?:says?|said|tells?|told|states?|stated|mentions?|mentioned|repeats?|gives?|uses?|appears?|comes?|is|are|was|there|thing|sentence|point|words?|fact|name|phrase|number|clause) (?:\w+ ){0,4}(?:twice|two times|three times|several times|over and over|again and again)
        """,
        negatable=False,
    ),
    _rule(
        _TONE,
        -1.5,
        r"(?:this is|that's|that is|it's|just|mere|contains|sounds like|reads like)(?: \w+)? (?:opinion|opinions|comment|commentary)|makes? (?:the|him|her|them|it|us) (?:\w+ )?look|(?:not|isn't|wasn't|hardly|far from) (?:very |really |at all |exactly )?(?:neutral|objective|impartial|balanced|appropriate|fair)",
        negatable=False,
    ),
    _rule(
        _LANG,
        -1.5,
        r"""
        (?:grammar|grammatical|spelling|language|punctuation|typing|agreement|syntax) (?:error|mistake|slip|issue|problem|fault)s?
        wrong (?:word|tense|word order|preposition|article|pronoun|grammar)s?
        """,
    ),
    _rule(
        _TONE,
        -1.5,
        r"(?:wrong|bad|off|odd|strange|poor|inappropriate) (?:tone|register|style|voice)|tone is (?:\w+ )?(?:off|wrong|bad|odd)",
    ),
    _rule(
        _FORMAT,
        -1.5,
        r"(?:format\w*|layout|encoding|display|rendering) (?:error|mistake|issue|problem|glitch|is (?:\w+ )?(?:wrong|off|broken|bad|a mess))(?:e?s)?",
    ),
    _rule(
        _A,
        -2.0,
        r"""
        wrong(?:ly)?
        incorrect(?:ly)?|inaccura\w+|false(?:ly)?|untrue|erroneous\w*|factually|misstat\w+|misquot\w+|misattribut\w+
        mislead\w*|misled|misrepresent\w*|misreports?|misreported|misread\w*|misunderst\w+|misinterpret\w*|misspelled (?:his|her|the|their) name
        errors?|mistakes?|mistaken|mix(?:es|ed|ing)? up|mix-?up|confus(?:es|ed) .{1,50}? (?:with|and)|swap(?:s|ped|ping)?|switched
        contradict\w*|hallucinat\w+|invent(?:s|ed|ing|ion|ions)|ma(?:kes?|de|king)(?: \w+){0,3} up|made-up|fabricat\w+|unsupported|unfounded
        (?:gets?|got|getting|has|have|had) (?:\w+ ){1,4}wrong
        attribut(?:es|ed) .{1,50}? to|credits? the wrong|revers(?:es|ed)|off by
        """,
    ),
    _rule(
        _M,
        -1.5,
        rf"""
        missing|miss(?:es|ed)?|omit\w*|omissions?|leav(?:es?|ing) (?:\w+ ){{0,4}}out|left (?:\w+ ){{0,3}}(?:out|off)|lack(?:s|ed|ing)?|absent
        fail(?:s|ed|ing)? to (?:{_TOLD})|neglects?|incomplete|skip(?:s|ped|ping)?|ignor(?:es|ed|ing)|overlook(?:s|ed|ing)?
        forg(?:ets?|ot|otten)|drop(?:s|ped)|buries|buried|lost|(?:loses|losing) the
        """,
    ),
    _rule(
        _M,
        -0.5,
        rf"""
        (?:should|could|must|need(?:s|ed)?(?: to)?|ought to|might|please|would|want(?:ed)?|expect(?:ed)?|like(?:d)?|better if|nice if|missing)(?: (?:also|at least|really|it|to|have|been|be|see|just|even|briefly|maybe|perhaps|still|always|you|i|would|had)){{0,4}} (?:{_VERBS}|add|say|(?:mention|includ|cover|explain|nam|add|not|stat|not|list)(?:ed|d)|told|said|kept in|keep)
        (?:would|wanted|want|like|love|expected|hoped|wish)\b(?: \w+){{0,3}} (?:to )?(?:know|read|learn|see|hear)
        (?:need(?:s|ed)?|want(?:s|ed)?|require[sd]?|missing|with|add|some|a little|a bit|for|deserves?) (?:a (?:little |bit )?|some |the |a lot |much )?more (?:detail|details|context|background|info|information|explanation|facts|specifics|depth|numbers)
        (?:more|extra|additional) (?:detail|details|context|background|info|information|explanation|specifics|depth)
        what about|where (?:is|are) the|i added|added (?:the|who|what|when|where|why|how)|(?:but|and|so) (?:who|what|when|where|why|which|how (?:much|many)) (?:\w+ ){{0,3}}\w+(?=\?)|add (?:the|a|an|some|more|that|who|when|where|why|how)|what happened (?:to|with|after|next)
        """,
        negatable=False,
    ),
    _rule(
        _LONG,
        -1.5,
        r"""
        (?:too|overly|way too|far too|rather|quite|a bit|a little|very|so|a tad|unnecessarily|pretty) (?:long|wordy|lengthy|verbose|detailed|much detail)
        wordy|wordiness|long-?\s?winded|verbose|verbosity|lengthy|rambl\w+|bloated|padd(?:ed|ing)|filler|waffl\w+|fluff|superfluous
        more (?:concise|concisely|succinct|compact)
        too much (?:detail|details|information|info|text|background|padding)|too many (?:words|details|sentences|numbers|facts|names|quotes)
        go(?:es)? on (?:and on|too|for)|drags?(?: on)?|unnecessary (?:detail|information|word|sentence|background|part)s?|not a summary|hardly a summary|copies (?:half|most|whole|entire)
        (?:longer than|as long as|over) (?:the (?:article|original|source|limit|reference|rest)|\d+ words|needed|necessary|it (?:needs|has) to be|requested)
        """,
    ),
    _rule(
        _LONG,
        -0.5,
        r"""
        shorten\w*|condens\w+|tighten\w*|trim(?:med|ming)?|(?:make|keep) (?:it|this|them) (?:\w+ )?shorter|shorter(?:,? please| version| summary|\?)|a shorter
        (?:please|should|could|can you|you can|had to|i(?: \w+)?) (?:cut|delete[d]?|remove[d]?|drop(?:ped)?|shorten(?:ed)?)|cut (?:it|this|that|the (?:last|first|second|third|final)|down|out)|could do without
        """,
        negatable=False,
    ),
    _rule(_LONG, 0.0, r"shorter|length"),
    _rule(
        _SHORT,
        -1.5,
        r"""
        (?:too|overly|way too|far too|rather|quite|a bit|a little|very|so|a tad|pretty) (?:short|brief|terse|thin|sparse|scant|superficial|shallow|little (?:detail|information|substance))
        (?:be|make it|much|bit|little|somewhat|slightly|a) longer|longer (?:summary|version|please|one)
        (?:only|just|a single|barely) (?:one|a|two|1) (?:short )?(?:sentence|line)s?|one-?liner|barely (?:says|tells|covers|a)|too little|skimpy|bare-?\s?bones|scanty
        truncat\w+|unfinished
        """,
    ),
    _rule(
        _SHORT,
        -0.5,
        r"(?:a (?:few|couple(?: of)?)|one|two|some) (?:more|extra|additional) (?:sentences?|words?|lines?)|another (?:sentence|line)",
        negatable=False,
    ),
    _rule(
        _LANG,
        -1.5,
        r"""
        unclear|confusing(?:ly)?|confused me|puzzl\w+|cryptic|obscure|opaque|awkward\w*|clumsy|clumsily|clunky|stilted|ungrammatical|incoheren\w+|disjointed|choppy|jumpy|bumpy
        ambiguous|ambiguity|vague\w*|imprecise|garbled|jumbled|muddled|nonsens\w+|gibberish|convoluted|run-?\s?on|broken english|unreadable|incomprehensible
        misspel\w+|typos?|reads (?:\w+ )?(?:badly|poorly|awkwardly|oddly|strangely|weird\w*|like (?:a )?(?:machine|robot|translat\w+|google|list))
        repeat(?:s|ed|ing|edly)?|repetiti\w+|redundan\w+|duplicat\w+|jargon|tautolog\w+|same (?:thing|sentence|point|words|fact|information) again|robotic|mechanical
        """,
    ),
    _rule(
        _LANG,
        0.0,
        r"rephras\w*|reword\w*|wording|worded|phrasing|phrased|grammar|grammatical\w*|spelling|punctuation|tenses?|syntax|commas?|pronouns?|clauses?|split (?:it |this |them )?(?:in|into|up)|word order|simpler (?:words|language)|plain(?:er)? (?:english|language)",
    ),
    _rule(
        _TONE,
        -1.5,
        r"""
        bias(?:ed)?|one-?\s?sided|sensational\w*|click-?\s?bait\w*|opinionated|editoriali[sz]\w+|subjective|loaded|emotive|emotional|partisan|slanted|preachy
        (?:too|overly|very|rather|a bit|so|quite) (?:informal|casual|formal|chatty|dramatic|harsh|cold|promotional|cheerful|flippant|positive|negative|friendly|excited|emotional|colloquial|stiff|academic|enthusiastic|bureaucratic|sunny|upbeat|solemn|dry|serious|playful|jokey|breezy)
        (?:sounds?|reads?|feels?|comes? across|written) (?:\w+ )?(?:like|as) (?:an? )?(?:ad|advert\w*|press release|sales pitch|marketing\w*|tabloid|opinion\w*|commercial|brochure|propaganda|fan)(?: \w+)?
        promotional|flippant|patroni[sz]ing|condescending|insensitive|disrespectful|offensive|rude|sarcastic|judge?mental|melodramatic|lurid|gossipy|cynical
        exaggerat\w+|overstat\w+|overblown|hyped?|hyperbol\w+|glorif\w+|belittl\w+|moralising|moralizing|tasteless
        """,
    ),
    _rule(_TONE, 0.0, r"tone|register|neutral(?:ity|ly)?|objectiv\w+|impartial\w*|slang|formal|informal"),
    _rule(
        _FORMAT,
        -1.5,
        r"""
        (?:extra|double|stray|missing|no|weird|strange|odd|broken|funny|random) (?:white ?space|space|line ?break|newline|character|symbol|asterisk|bracket|quote|quotation mark|capital|letter|tag|sign|markup)s?(?: between \w+)?
        (?:starts?|begins?|starting|beginning) with (?:a |an )?(?:lower|upper|small|capital)\w*|all (?:in )?(?:caps|capitals|upper ?case|lower ?case)|(?:html|markdown|markup) (?:tags?|code|left|in)|mojibake|garbled characters|not capitali[sz]ed|unformatted|badly formatted
        """,
        negatable=False,
    ),
    _rule(
        _FORMAT,
        0.0,
        r"format(?:ting|ted|s)?|layout|bullets?|bullet (?:points?|list)|bulleted|line ?breaks?|paragraphs?|capitali[sz]\w+|upper ?case|lower ?case|markdown|html|white ?space|spacing|quotation marks|headings?|numbered list|emojis?|hyphenation|indent\w*",
    ),
    _rule(
        None,
        -2.0,
        r"""
        bad(?:ly)?|poor(?:ly)?|terribl[ey]|awful(?:ly)?|horribl[ey]|useless|worthless|disappoint\w*|unusable|rubbish|garbage|nonsense|hate|hated|dislike\w*|worse|worst
        annoy\w*|frustrat\w+|unacceptable|waste|sloppy|lazy|weak|mediocre|embarrassing|pointless|broken|ridiculous|dreadful|inadequate|unhelpful|irrelevant|off[- ]topic|misses the (?:point|mark)|beside the point
        meh|(?:expected|hoped for|deserves?) (?:more|better)|not (?:ok|okay|acceptable|good enough|helpful|useful|great)
        """,
    ),
    _rule(
        None,
        -1.2,
        r"problems?|problematic|issues?|unfortunately|sadly|concern(?:s|ed|ing)?|doubt(?:s|ful)?|suspicious|questionable|not (?:sure|convinced)|struggl\w+",
    ),
    _rule(
        None,
        -0.5,
        r"(?:would|might|could|may) (?:also |still )?be (?:even |much )?(?:better|nice|nicer|good|great|helpful|useful|ideal|easier)",
        negatable=False,
    ),
    _rule(
        _PRAISE,
        2.0,
        r"accurate(?:ly)?|accuracy|correct(?:ly)?|true|faithful(?:ly)?|factual|precise(?:ly)?|trustworthy|reliable",
        opposite=_A,
    ),
    _rule(_PRAISE, 1.5, r"right(?! (?:now|away|after|before|at|in|to|of|wing|side|hand))", opposite=_A),
    _rule(
        _PRAISE,
        2.0,
        r"clear(?:er|ly)?|clarity|readable|fluent(?:ly)?|coherent|easy to (?:read|follow|understand|grasp)|easier to (?:read|follow|understand)|(?:reads?|flows?) (?:\w+ )?(?:well|nicely|smoothly|naturally|easily|beautifully|better)|well[- ](?:written|put|phrased|worded|structured|organi[sz]ed)|smooth(?:ly|er)?|elegant\w*|crisp(?:ly)?",
        opposite=_LANG,
    ),
    _rule(
        _PRAISE,
        2.0,
        r"concise(?:ly)?|succinct(?:ly)?|to the point|compact|brief and|short and (?:sweet|clear|\w+)|just the right length|(?:right|good|perfect|ideal) length|pithy|tight",
        opposite=_LONG,
    ),
    _rule(
        _PRAISE,
        2.0,
        r"complete(?! (?:nonsense|rubbish|mess|garbage))|comprehensive|thorough(?:ly)?|cover(?:s|ed|ing) (?:\w+ )?(?:all|everything|the (?:main|key|essential|important|whole|essentials)|every|what)(?: \w+)?|(?:all|every|both|has|have|gets|got|picks?|keeps?|hits?|includes?|contains?) (?:of )?(?:the |of )*(?:key|main|important|essential|relevant|necessary|major) (?:\w+ )?(?:points?|facts?|figures?|details?|parts?|information|numbers?|message)|captur(?:es|ed|ing)|everything (?:important|that matters|essential|i need\w*|is (?:there|in it))",
        opposite=_M,
    ),
    _rule(
        _PRAISE,
        1.5,
        r"balanced|fair|neutral (?:tone|wording|language|and|in)|objective and|even-?handed|well[- ]balanced",
        opposite=_TONE,
    ),
    _rule(
        _PRAISE,
        2.0,
        r"""
        great|good(?! (?:deal|many|question|luck))|excellent|perfect(?:ly)?|nice(?:ly)?|well[- ](?:done|chosen|made|judged|summari[sz]ed)|(?:done|works?|worked|chosen|summari[sz]ed|handled|summed up) (?:very |really |quite |so )?well
        lov(?:e|es|ed|ely)|(?:i|we|really|quite|also|do) (?:really |also |particularly |especially )?lik(?:e|ed) (?:it|this|that|how|the)|help(?:ful|ed|s)|useful(?:ly)?|handy|spot[- ]on|brilliant(?:ly)?|fantastic|wonderful(?:ly)?|superb(?:ly)?|amazing
        impress\w+|flawless(?:ly)?|thank(?:s| you)|solid|happy|pleased|satisf(?:ied|ying|actory)|delighted|best|ideal|exemplary|strong|sharp|on point|exactly (?:what|right|the|as|how)
        better|improv(?:ed|ement|ements|es)|a pleasure|enjoy(?:ed|able)|appreciate\w*|ready to (?:publish|print|go|send)|publishable|top|bravo|kudos|congrat\w+|nailed|gold standard|five stars|well (?!that|then|i)\w+ed
        """,
    ),
    _rule(
        _PRAISE,
        1.0,
        r"ok|okay|fine|decent|acceptable|adequate|reasonable|reasonably|not too bad|good enough|works(?: for me)?|agree[sd]?|usable|sound|interesting|gist|essence",
    ),
)

_FOLD = str.maketrans({**{chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)}, "’": "'", "‘": "'"})
_CLAUSE_END = re.compile(
    r"[.;:!?,\n]+(?=\s|$)|\s[-–—]\s|\b(?:but|however|though|although|yet|except|still|only that|and then)\b"
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nothing|nor|neither|without|hardly|barely|scarcely|cannot|avoids?|free (?:of|from)|"
    r"isn't|aren't|wasn't|weren't|doesn't|don't|didn't|won't|wouldn't|can't|couldn't|shouldn't|hasn't|haven't|hadn't|"
    r"isnt|doesnt|dont|didnt|wasnt|cant|far from|anything but|less than|fails? to be|lacks?|lacking|too \w+ (?:to|for))\b"
)
_NOT_NEGATION = re.compile(r"\b(?:not (?:only|just|to mention)|no (?:doubt|wonder))\b")
_WISH = re.compile(
    r"\b(?:could|should|would|must|might|needs?|ought|wish|hoped?|supposed|if|be more|more|want|wanted|(?:trying|meant) to be)\b"
)
# "a confusing story", "an article on a terrible crime": the news is meant, not the summary.
_OF_THE_NEWS = re.compile(
    r"\b(?:of|on|about) (?:a|an|such a)$|\b(?:article|original|source) (?:itself )?(?:is|was)(?: \w+)?$"
)
_REACH = 4  # words between a negation and what it turns round
_TURN = re.compile(r"\b(?:but|however|except|unfortunately|apart from|other than)\b")
_MOST_PRAISE, _MOST_BLAME = 2.5, -4.0


def find_cues(text: str) -> list[Cue]:
    """Every cue in order, with negations applied."""
    folded = text.translate(_FOLD)
    taken = bytearray(len(folded))
    cues: list[Cue] = []
    for rule in _RULES:
        for match in rule.pattern.finditer(folded):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            taken[start:end] = b"\1" * (end - start)
            cue = _cue(rule, folded, start, end)
            if cue is not None:
                cues.append(cue)
    return sorted(cues, key=lambda cue: cue.start)


def balance(text: str, cues: list[Cue]) -> float:
    """Praise and blame together: below zero displeased.

    What stands behind a "but" weighs more than what stands before it, and any amount of praise is outweighed by
    a few faults.
    """
    turn = _TURN.search(text.translate(_FOLD))
    weights = [
        cue.weight * (1.0 if turn is None else 0.8 if cue.start < turn.start() else 1.2) for cue in cues
    ]
    praise = sum(weight for weight in weights if weight > 0)
    blame = sum(weight for weight in weights if weight < 0)
    return min(praise, _MOST_PRAISE) + max(blame, _MOST_BLAME)


def _cue(rule: _Rule, folded: str, start: int, end: int) -> Cue | None:
    if not rule.negatable:
        return Cue(rule.about, rule.weight, start, end)
    before = _words_before(folded, start)
    if rule.about in (None, CommentClass.LANGUAGE, CommentClass.PRAISE) and _OF_THE_NEWS.search(before):
        return None
    negated = _NEGATION.search(_NOT_NEGATION.sub("", before)) is not None
    if rule.weight > 0 and (negated or _WISH.search(before)):
        return Cue(rule.opposite, -rule.weight * (0.75 if negated else 0.5), start, end)
    if rule.weight < 0 and negated:
        return Cue(CommentClass.PRAISE, -rule.weight * 0.75, start, end)
    return Cue(rule.about, rule.weight, start, end)


def _words_before(folded: str, start: int) -> str:
    """The last few words of the clause in front of a cue."""
    clause = _CLAUSE_END.split(folded[max(0, start - 120) : start])[-1]
    return " ".join(clause.split()[-_REACH:])
