"""Messages with roles."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="messages",
    title="Messages with roles",
    licence="the licence of your data",
    schema="messages: [{role, content}], or the list itself",
    options=MappingProxyType(
        {
            "messages_keyword": "messages",
            "role_keyword": "role",
            "content_keyword": "content",
            "roles": {},
            "consecutive": "keep",
        }
    ),
    origin="generative_data_prep",
)
