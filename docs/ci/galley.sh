#!/usr/bin/env bash
# What a pipeline asks of Galley over its REST API, with curl and jq. Put it into your repository beside the pipeline.
#
#   galley.sh train [BODY]             train; prints the number of the model version
#   galley.sh compose MODEL            compose a draft; prints the number of the release
#   galley.sh compare RELEASE          compare it with what is live; prints the number of the comparison
#   galley.sh submit COMPARISON NOTE   submit it for approval
#   galley.sh gates RELEASE            wait for its gates; prints them as Markdown and writes gates.json and gates.xml (JUnit)
#
# `gates` ends with 0 pass, 1 fail, 2 inconclusive; everything else that goes wrong ends with 3. Nothing here approves:
# people do, on the release's page.
#
# GALLEY_URL and GALLEY_TOKEN say where and as whom. The token has the scopes training:write, evaluations:write,
# releases:submit and releases:read. A run that is started again goes on with what it began, for 24 hours, by
# GALLEY_KEY, which GitHub and Azure give. GALLEY_WAIT_SECONDS (6 hours) is how long each step waits.
set -euo pipefail
shopt -s inherit_errexit

fail() { echo "galley: $*" >&2; exit 3; }
for program in curl jq; do command -v "$program" >/dev/null || fail "$program is not installed"; done
[ -n "${GALLEY_URL:-}" ] && [ -n "${GALLEY_TOKEN:-}" ] || fail "set GALLEY_URL and GALLEY_TOKEN"
key=${GALLEY_KEY:-${GITHUB_RUN_ID:-${BUILD_BUILDID:-}}}
[ -n "$key" ] || fail "set GALLEY_KEY to something new for each run"
until=$((SECONDS + ${GALLEY_WAIT_SECONDS:-21600}))

# call PATH [curl's arguments]: prints the answer; what Galley refuses is said and ends the step. The token is read from
# a file descriptor, so that no list of processes shows it.
call() {
  local answer status=0
  answer=$(curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 120 \
    --header @<(printf 'Authorization: Token %s\n' "$GALLEY_TOKEN") --header "Content-Type: application/json" \
    "${@:2}" "${GALLEY_URL%/}/api/v1/$1") || status=$?
  if [ "$status" != 0 ]; then
    [ -n "$answer" ] || fail "$1: no answer from $GALLEY_URL"
    fail "$1: $(jq -r '.error | "\(.code): \(.message)"' <<<"$answer" 2>/dev/null || echo "$answer")"
  fi
  printf '%s\n' "$answer"
}

# number WHAT [WORD]: WORD, where it is a number.
number() { [[ ${2:-} =~ ^[0-9]+$ ]] || fail "this step takes the number of a $1, not '${2:-}'"; echo "$2"; }

# start STEP PATH BODY: a POST that happens once, however often it is sent.
start() { call "$2" --header "Idempotency-Key: $key-$1" --data "$3"; }

# wait_for PATH CONDITION: asks until the condition of jq holds, and prints the answer.
wait_for() {
  local answer seen="" now
  while true; do
    answer=$(call "$1")
    now=$(jq -r '[.state, .phase // empty] | join(": ")' <<<"$answer")
    [ "$now" = "$seen" ] || echo "galley: $1 $now" >&2
    seen=$now
    if [ "$(jq "$2" <<<"$answer")" = true ]; then printf '%s\n' "$answer"; return; fi
    [ "$SECONDS" -lt "$until" ] || fail "$1 is still $now, and the time is over"
    sleep "${GALLEY_POLL_SECONDS:-10}"
  done
}

# done_or_fail PATH: waits for work to end, and fails unless it succeeded.
done_or_fail() {
  local answer
  answer=$(wait_for "$1" '.state | IN("succeeded", "failed", "cancelled")')
  [ "$(jq -r .state <<<"$answer")" = succeeded ] || fail "$1 $(jq -r '"\(.state): \(.reason)"' <<<"$answer")"
  printf '%s\n' "$answer"
}

train() {
  local number answer
  answer=$(start train training-runs/ "${1:-"{}"}")
  number=$(jq .id <<<"$answer")
  answer=$(done_or_fail "training-runs/$number/")
  jq .model_version <<<"$answer"
}

compose() {
  local answer model
  model=$(number "model version" "${1:-}")
  answer=$(start compose releases/compose/ "$(jq -n --argjson model "$model" '{model_version: $model}')")
  jq .id <<<"$answer"
}

compare() {
  local answer release number
  release=$(number release "${1:-}")
  answer=$(start compare comparisons/ "$(jq -n --argjson release "$release" '{candidate: $release}')")
  number=$(jq .id <<<"$answer")
  answer=$(done_or_fail "jobs/$number/")
  number=$(jq .result.comparison <<<"$answer")
  answer=$(call "comparisons/$number/")
  jq -r '"\(.verdict): \(.sentence)\n\(.url)"' <<<"$answer" >&2
  echo "$number"
}

submit() {
  local answer comparison
  comparison=$(number comparison "${1:-}")
  answer=$(start submit releases/ "$(jq -n --argjson number "$comparison" --arg note "${2:-}" '{comparison: $number, note: $note}')")
  jq -r '"Release \(.id) is \(.state)."' <<<"$answer"
}

gates() {
  local answer release
  release=$(number release "${1:-}")
  answer=$(wait_for "releases/$release/gates/" '.verdict != null')
  printf '%s\n' "$answer" >gates.json
  jq -r '
    def xml: tostring | gsub("[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f]"; "") | @html;
    def body: "\(.words) Needed: \(.need)." | xml;
    (.gates.results // []) as $rows
    | "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
      "<testsuite name=\"Gates of release \(.release)\" tests=\"\($rows | length)\" failures=\"\([$rows[] | select(.counts_as == "fail" or .counts_as == "inconclusive")] | length)\" errors=\"\([$rows[] | select(.counts_as == "error")] | length)\">",
      ($rows[]
       | "<testcase classname=\"gates.\(.gate | xml)\" name=\"\([.label, .name] | map(select(. != "")) | join(", ") | xml)\">"
         + (if .counts_as == "pass" then "<system-out>\(body)</system-out>"
            elif .counts_as == "error" then "<error type=\"error\">\(body)</error>"
            else "<failure type=\"\(.counts_as)\">\(body)</failure>" end)
         + "</testcase>"),
      "</testsuite>"' gates.json >gates.xml
  jq -r '
    def cell: gsub("\\s+"; " ") | gsub("\\|"; "\\|") | @html;
    "## Release \(.release): \(.verdict)", "", "\(.words)", "",
    "| gate | result | verdict | found | needed |", "| :-- | :-- | :-- | :-- | :-- |",
    ((.gates.results // [])[]
     | "| \(.label | cell) | \(.name | cell) | \(.verdict)\(if .waiver then ", waived" else "" end) | \(.words | cell) | \(.need | cell) |"),
    "", "\(.url)"' gates.json
  case $(jq -r .verdict gates.json) in
    pass) echo "galley: the gates pass; people decide at $(jq -r .url gates.json)" >&2 ;;
    fail) exit 1 ;;
    inconclusive) exit 2 ;;
    *) exit 3 ;;
  esac
}

case ${1:-} in
  train | compose | compare | submit | gates) "$@" ;;
  *) fail "train, compose, compare, submit or gates, not '${1:-}'" ;;
esac
