"""The script of the sandbox's ELIZA: patterns in order of priority, each with answers that are used in turn."""

from __future__ import annotations

REFLECTIONS = {
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "am": "are",
    "i'm": "you are",
    "i've": "you have",
    "i'll": "you will",
    "i'd": "you would",
    "you": "I",
    "your": "my",
    "yours": "mine",
    "yourself": "myself",
    "you're": "I am",
    "you've": "I have",
}

#: Placeholders are filled with the groups of the pattern, with first and second person swapped.
RULES = (
    (
        r"\b(?:who|what) are you\b|\byour name\b",
        (
            "I am ELIZA, played by the sandbox: a listener of 1966, no language model. And who are you?",
            "Only an echo with manners, running on this very machine. What shall we talk about?",
        ),
    ),
    (
        r"^(?:hello|hi|hey|good (?:morning|evening|day)|greetings)\b(?!.* (?:i|i'm|my) )",
        (
            "Hello! How are you feeling today?",
            "Good to see you. What is on your mind?",
            "Hi there. Tell me what brings you here.",
        ),
    ),
    (
        r"\bsorry\b",
        (
            "There is nothing to be sorry for. Please go on.",
            "No apology needed. What were you going to say?",
        ),
    ),
    (
        r"\b(?:thanks|thank you)\b",
        (
            "You are welcome. Is there more on your mind?",
            "It was a pleasure to listen.",
        ),
    ),
    (
        r"\b(?:computer|machine|robot|program|python|artificial intelligence)s?\b",
        (
            "Do machines worry you?",
            "What do you think a machine can understand, and what not?",
            "Why do you bring up machines, with me of all listeners?",
        ),
    ),
    (
        r"\bi (?:remember|recall) (.+)",
        (
            "What else comes to mind when you think of {0}?",
            "Why does {0} come back to you just now?",
        ),
    ),
    (
        r"\bi (?:dreamt|dreamed|dream) (?:of |about )?(.+)",
        (
            "Have you ever imagined {0} while you were awake?",
            "What does that dream say to you?",
        ),
    ),
    (
        r"\bif (.+)",
        (
            "How likely is it that {0}?",
            "And what would you do if {0}?",
        ),
    ),
    (
        r"\b(?:i need|i want|i would like|i'd like) (.+)",
        (
            "What would it mean to you to get {0}?",
            "Suppose you got {0} tomorrow. What then?",
            "Who else knows that you want {0}?",
        ),
    ),
    (
        r"\b(?:i am|i'm) ((?:very |so |a bit )?(?:sad|unhappy|depressed|tired|sick|lonely|afraid|worried|angry))\b",
        (
            "How long have you been {0}?",
            "I am sorry to hear that you are {0}. What happened?",
            "What would help you not to be {0}?",
        ),
    ),
    (
        r"\b(?:i am|i'm) ((?:very |so |really )?(?:happy|glad|excited|proud|content|better))\b",
        (
            "How nice that you are {0}! What brought it about?",
            "What makes you {0} just now?",
        ),
    ),
    (
        r"\b(?:i am|i'm) (.+)",
        (
            "How did you come to be {0}?",
            "Do you like being {0}?",
            "Who else knows that you are {0}?",
        ),
    ),
    (
        r"\bi (?:can't|cannot|can not) (.+)",
        (
            "How do you know that you cannot {0}?",
            "What would happen if you could {0}?",
        ),
    ),
    (
        r"\bi feel (.+)",
        (
            "Do you often feel {0}?",
            "When did you begin to feel {0}?",
        ),
    ),
    (
        r"\bi (?:think|believe|guess) (?:that )?(.+)",
        (
            "What makes you so sure that {0}?",
            "Who would disagree that {0}?",
        ),
    ),
    (
        r"\bi (love|like|hate|miss) (.+)",
        (
            "What is it about {1} that you {0}?",
            "Since when do you {0} {1}?",
        ),
    ),
    (
        r"\bare you (.+)",
        (
            "Would you like it if I were {0}?",
            "Why do you wonder whether I am {0}?",
        ),
    ),
    (
        r"\byou are (.+)|\byou're (.+)",
        (
            "What makes you think so of me?",
            "Does it please you to believe that of me?",
        ),
    ),
    (
        r"\b(?:tell|write|give|show|make) me (.+)",
        (
            "I only listen and ask. But what would you hope for in {0}?",
            "Let us begin together: what comes to your mind about {0}?",
        ),
    ),
    (
        r"\b(?:mother|father|mum|mom|dad|sister|brother|family|parents|children|wife|husband)\b",
        (
            "Tell me more about your family.",
            "Who else in your family comes to mind?",
        ),
    ),
    (
        r"\bmy (.+?) (?:is|are|was|were) (.+)",
        (
            "Does it matter to you that your {0} is {1}?",
            "Tell me more about your {0}.",
        ),
    ),
    (
        r"\bbecause\b",
        (
            "Is that the real reason?",
            "What other reasons might there be?",
        ),
    ),
    (
        r"\b(?:always|never|everybody|everyone|nobody)\b",
        (
            "Can you think of a particular case?",
            "Really without exception?",
        ),
    ),
    (
        r"^(?:why|what|how|when|where|who|which|can|could|do|does|is|are|will|would)\b",
        (
            "What answer would please you most?",
            "Why does that question interest you?",
            "What do you think yourself?",
            "Have you asked anybody else?",
        ),
    ),
    (
        r"^(?:yes|yeah|yep|sure|of course)\b",
        (
            "I see. Please say more about it.",
            "You sound quite certain. Why?",
        ),
    ),
    (
        r"^(?:no|nope|not really)\b",
        (
            "Why not?",
            "Are you saying no just to be careful?",
        ),
    ),
)

MEMORIES = (
    "Earlier you spoke of your {0}. Let us go back to that.",
    "Does this have anything to do with your {0}?",
    "And how does your {0} come into it?",
)

DEFAULT_ANSWERS = (
    "Please go on.",
    "Tell me more about that.",
    "I see. And what does that suggest to you?",
    "Could you put it another way?",
)

SILENCE = (
    "Take your time. I am listening.",
    "You are silent. What are you thinking of?",
)

FAREWELLS = (
    "Goodbye. It was good to talk with you.",
    "Farewell, and come back when you like.",
)
