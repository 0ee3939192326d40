"""Cached contents."""

import datetime

import pytest
from google.genai import errors, types

MANUAL = "A long manual. " * 40
CODE = types.Tool(code_execution=types.ToolCodeExecution())


@pytest.fixture
def cache(plain):
    config = types.CreateCachedContentConfig(contents=["x = 6 * 7"], tools=[CODE], display_name="manual", ttl="300s")
    cache = plain.caches.create(model="direct", config=config)
    yield cache
    plain.caches.delete(name=cache.name)


def test_a_cache_is_used_and_counted(plain, cache):
    assert (cache.display_name, cache.model) == ("manual", "models/direct")
    assert plain.caches.get(name=cache.name) == cache
    config = types.GenerateContentConfig(cached_content=cache.name)
    response = plain.models.generate_content(model="direct", contents="print(6 * 7)", config=config)
    assert response.code_execution_result == "42\n"
    usage = response.usage_metadata
    assert usage.cached_content_token_count == cache.usage_metadata.total_token_count
    assert usage.cache_tokens_details[0].token_count == usage.cached_content_token_count
    assert usage.prompt_token_count > usage.cached_content_token_count
    *_, last = plain.models.generate_content_stream(model="direct", contents="print(6 * 7)", config=config)
    assert last.usage_metadata.cached_content_token_count == usage.cached_content_token_count


def test_tools_beside_a_cache_are_refused(plain, cache):
    config = types.GenerateContentConfig(cached_content=cache.name, tools=[CODE])
    with pytest.raises(errors.ClientError, match="CachedContent can not be used with GenerateContent request") as refused:
        plain.models.generate_content(model="direct", contents="print(1)", config=config)
    assert refused.value.code == 400


def test_its_expiry_changes(plain, cache):
    longer = plain.caches.update(name=cache.name, config=types.UpdateCachedContentConfig(ttl="7200s"))
    assert longer.expire_time > cache.expire_time
    time = datetime.datetime(2999, 12, 1, tzinfo=datetime.UTC)
    later = plain.caches.update(name=cache.name, config=types.UpdateCachedContentConfig(expire_time=time))
    assert later.expire_time == time


def test_they_are_listed_in_pages_and_deleted(plain):
    config = types.CreateCachedContentConfig(contents=[MANUAL])
    names = {plain.caches.create(model="direct", config=config).name for _ in range(3)}
    assert {cache.name for cache in plain.caches.list(config={"page_size": 2})} >= names
    for name in names:
        plain.caches.delete(name=name)
        with pytest.raises(errors.ClientError) as gone:
            plain.caches.get(name=name)
        assert gone.value.code == 403
