exports.handler = async (event, context) => {
  console.log("line " + event.n);
  if (event.bad) throw new RangeError("bad row");
  return { n: event.n, request: context.awsRequestId, left: context.getRemainingTimeInMillis(), stream: context.logStreamName };
};
