import logging

logging.getLogger().setLevel(logging.INFO)


def handler(event, context):
    logging.getLogger().info("line %s", event["n"])
    if event.get("bad"):
        raise ValueError("bad row")
    return {"n": event["n"], "request": context.aws_request_id, "left": context.get_remaining_time_in_millis(), "stream": context.log_stream_name}
