"""Chat templates that show tools: our own, in the shapes of those that are in use."""

from __future__ import annotations

FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Find a gate",
        "parameters": {"type": "object", "properties": {"gate": {"type": "integer"}}},
    },
}
# As Qwen 2.5 and 3 and Hermes: tools in the system turn, calls and answers in marks of their own.
HERMES = (
    "{% if tools %}<|im_start|>system\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
    "Tools:\n<tools>{% for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}{{ '\\n' }}</tools><|im_end|>\n"
    "{% elif messages[0].role == 'system' %}"
    "<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% for m in messages if m.role != 'system' %}"
    "{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n</tool_response><|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Llama 3.1: tools before the first question, one call a turn under "parameters".
LLAMA = (
    "{% if messages[0].role == 'system' %}"
    "<|system|>{{ messages[0].content }}<|eot|>{% set messages = messages[1:] %}{% endif %}"
    "{% if tools %}<|user|>Functions at hand:\n"
    "{% for t in tools %}{{ t | tojson(indent=4) }}\n\n{% endfor %}"
    "{{ messages[0].content }}<|eot|>{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}"
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('one call at once') }}{% endif %}"
    "{% set f = m.tool_calls[0].function %}"
    '<|assistant|>{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}<|eot|>'
    "{% elif m.role == 'tool' %}<|ipython|>{{ m.content | tojson }}<|eot|>"
    "{% else %}<|{{ m.role }}|>{{ m.content }}<|eot|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# As Mistral: tools as one list before the last question.
MISTRAL = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{% if tools and (loop.last or not messages[loop.index:] | selectattr('role', 'equalto', 'user') | list) %}"
    "[AVAILABLE_TOOLS] {{ tools | map(attribute='function') | list | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "[INST] {{ m.content }}[/INST]"
    "{% elif m.tool_calls %}[TOOL_CALLS] {{ m.tool_calls | map(attribute='function') | list | tojson }}</s>"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS] {{ m.content }}[/TOOL_RESULTS]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
