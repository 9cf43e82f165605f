"""Command lines whose output is compared between this machine and one elsewhere."""

BOOK_HERE = "# book"
"""A line of WRITES: requests are booked in both databases."""
BOOK = """\
currency: CNY
prices:
- {model: seedream-3.0, per_image: 0.08}
- {model: flux-kontext-pro, per_image: 0.25}
- {model: gpt-image-1, quality: high, per_image: 1.50, from: 2098-01-01}
"""
PEOPLE = """\
name,mail,project,role,limits
lin,lin@example.com,red,owner,images/day=5
zoe,zoe@example.com,green,,spend/month=12.50 concurrent=2
zoe,zoe@example.com,red,,
"""
KEYS_FILE = "keys.csv"
"""File of new keys, which a command never overwrites: it is removed after each line."""
SEED = """\
users create lin --email lin@example.com
users create bo
users create aki
projects create red
projects create blue
keys create --user lin --project red --name posters --models gpt-image-1,seedream-3.0 --expires 90d
keys create --user lin
keys create --user bo --project blue --expires 2098-12-31
keys revoke {key_2}
users disable bo
service-accounts create ci
service-accounts create press --project red
projects archive blue
admin-keys create --name dashboard --role reader --user lin
limits set --organization --spend 1000 --spend-per month --concurrent 20
limits set --project red --requests-per-minute 60 --images 500 --images-per day
limits set --user lin --spend 12.50 --spend-per week --requests 40 --requests-per day
limits set --user lin --model gpt-image-1 --images 10 --images-per lifetime
limits set --key {key_1} --images-per-minute 6
limits set --everyone --requests 90 --requests-per day --concurrent 4
limits set --everyone --project red --requests 60 --requests-per day
models allow --project red gpt-image-1 seedream-3.0
models alias gpt-image-* gpt-image-1 --size 2048x2048=1024x1024 --drop seed
alerts create --organization --spend 800 --mail finance@example.com --subject-prefix [images]
alerts create --user lin --at 80% --of images --model gpt-image-1 --mail finance@example.com
alerts create --user lin --images 100 --per day --model gpt-image-1 --webhook https://8.8.8.8/hook
prices set gpt-image-1 --quality high --per-image 1.5 --from 2099-01-01
prices set flux-kontext-max --size 1024x1024 --per-image 0.123456
prices set by-tokens --operation generation --per-million-input-text 5 --per-million-input-image 10 \
--per-million-output 40 --ceiling-per-image 1.50
"""
READS = """\
statements list
statements show 2025-01
statements show 2025-13
users list
projects list
service-accounts list
service-accounts list --project red
keys list
keys list --project blue
keys list --user ci --status active
keys show {key_1}
keys show {key_2}
admin-keys list
limits show
limits show --organization
limits show --project red
limits show --user lin
limits show --user lin --model gpt-image-1
limits show --key {key_1}
limits show --everyone
limits show --everyone --project red
models list
models list --project red
models aliases
relays list
relays list --removed
relays show default
relays show nothing
alerts list
alerts history {alert_3}
prices list
prices export
prices export --as json
prices check book.yaml
prices sync
reconcile --dry-run
audit
requests list
requests list --user lin --limit 1
requests list --state settled
requests list --since 2026-11-01 --until today --project default --model gpt-image-1 --outcome unknown --format csv
requests list --refused
requests list --refused --user lin --since yesterday --code insufficient_quota
requests list --refused --outcome settled
requests list --since tomorrow
requests show req_1
requests show req_refused
requests show req_x
pictures list
pictures list --user lin --words cat --since yesterday --limit 3
pictures list --user nobody
pictures show req_x_0
pictures save req_x_0
pictures delete req_x_0
pictures prune --dry-run
pictures prune
sessions list
sessions list --user nobody
sessions revoke nothing
users invite nobody
users erase nobody
usage
usage --format csv
usage --by day,project,user,key,model,operation,size,quality
usage --by key --since 2026-11-21 --until 2026-11-22
usage --by ,
audit-log
audit-log --limit 1000
audit-log --event project.created --event user.added
audit-log --target {key_2}
"""
WRITES = """\
users create lin --email lin@example.com
users create lin
users create user-x
users create bo
users disable bo
users enable bo
users disable nobody
users delete bo
users delete bo
projects create red
projects create red
projects create blue
projects archive blue
projects archive blue
projects archive default
service-accounts create ci --project red
service-accounts create ci --project nowhere
service-accounts list --project nowhere
users import people.csv
users import people.csv --keys keys.csv
users import people.csv --create-projects --dry-run
users import people.csv --create-projects --keys keys.csv
users import people.csv --keys keys.csv
users import book.yaml --keys keys.csv
users disable {user_3}
users disable {user_3}
users enable {user_3}
users delete {user_3}
service-accounts delete {user_3} --project red
service-accounts delete {user_3} --project red
keys create --user lin --name posters --models gpt-image-1 --expires 12h
keys create --user lin --project red --expires 2098-12-31
keys create --user nobody
keys create --user lin --project blue
keys create --user lin --models ,
keys create --user lin --models unknown
keys create --user lin --expires never
keys rotate {key_2} --grace 7d
keys rotate {key_2} --grace 90d
keys revoke {key_2}
keys revoke {key_2}
keys rotate {key_2}
keys rotate {key_2} --leaked
keys rename {key_2} banners
keys extend {key_2} --expires 48h
keys move {key_2} --project default
keys move {key_2} --user nobody
keys move {key_2}
keys list --user lin --project default --status active --json
keys list --status lost
keys list --user nobody
keys list --unused-since 2020-01-01
keys list --unused-since soon
keys show key_x
limits set --organization --spend 100 --spend-per month
limits set --user lin --spend 12.5 --spend-per day --images 9 --images-per week --concurrent 2 --requests-per-minute 5
limits set --user lin --spend none --spend-per day
limits set --user nobody --images-per-minute 3
limits set --everyone --spend 3 --spend-per day
limits set --everyone --project nowhere --images-per-minute 3
limits set --user lin --model unknown --images-per-minute 3
limits set --key {key_2} --model gpt-image-1 --requests 3 --requests-per lifetime
limits show --project nowhere
models allow --project red gpt-image-1 seedream-3.0 gpt-image-1
models deny --project red imagen4
models deny --project red unknown
models allow --project red --all
models allow --project nowhere --all
models list --project nowhere
models alias openai/* gpt-image-1 --size 2048x2048=1024x1024 --quality best=high --drop seed --drop safety
models alias openai/* gpt-image-1 --response-format url
models alias openai/* seedream-3.0 --size none --drop none
models alias openai/* dall-e-3
models alias seedream-3.0 gpt-image-1
models alias x gpt-image-7
models alias x gpt-image-1 --size 1x1
models alias x
models aliases
models alias openai/* --remove
models alias openai/* --remove
relays add second --base-url http://127.0.0.1:9/v1/ --key-stdin --weight 3 --concurrent 4 --profile N --price-factor 0.8
relays add second --base-url http://127.0.0.1:9 --key-stdin
relays add Second --base-url http://127.0.0.1:9 --key-stdin
relays add third --base-url ftp://127.0.0.1 --key-stdin
relays add third --base-url http://127.0.0.1:9
relays set second --models gpt-image-1,imagen4 --dollar-micros 7300000 --concurrent none
relays set second --models gpt-image-9
relays set second --base-url http://127.0.0.1:8
relays set second --base-url http://127.0.0.1:8 --key-stdin
relays set second --price-factor 0
relays set default --weight 2
relays set default --base-url http://127.0.0.1:8
relays replace-key second --key-stdin
relays replace-key default --key-stdin
relays disable second
relays enable second
relays remove default
relays remove second
relays remove second
relays list --removed
alerts create --project red --spend 80.5 --per week --mail a@example.com --mail b@example.com
alerts create --user lin --images 5 --webhook https://8.8.8.8/hook
alerts create --user nobody --images 5 --mail a@example.com
alerts create --user lin --images 5 --webhook ftp://8.8.8.8/hook
alerts create --user lin --at 80% --of images --mail a@example.com
alerts create --user lin --at 80% --mail a@example.com
alerts create --user lin --at 80% --of requests --mail a@example.com
alerts test {alert_1}
alerts test alert_x
alerts history {alert_1}
alerts history alert_x
alerts delete {alert_1}
alerts delete {alert_1}
prices set imagen4 --per-image 0.2
prices set imagen4 --per-image 0.2 --from 2020-01-01
prices set imagen4 --size auto --per-image 0.2
prices set new-model --operation edit --per-image 0.000001 --from 2098-06-01
prices remove price_9
prices remove price_9
prices remove price_0
models remove new-model
models remove new-model
models remove gpt-image-1
prices set new-model --per-image 0.5
prices check book.yaml
prices import book.yaml
prices import book.yaml
prices import dollars.yaml
prices sync --only --model flux-kontext-pro --apply
prices sync --apply
prices sync --group vip
prices sync --relay nope
# book
requests settle req_1 --reason paid --cost 0.8
requests settle req_1 --reason paid
requests release req_2 --reason free
requests write-off req_3 --reason gone
requests settle req_x --reason lost
reconcile
admin-keys create --name office --user lin
admin-keys create --name office --role king
admin-keys revoke {key_4}
admin-keys revoke {key_4}
statements close 2025-01 --yes
statements close 2025-01 --yes
statements list
usage --by planet
usage --since yesterday
"""
