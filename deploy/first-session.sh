json='Content-Type: application/json'
token() { sed 's/.*"'$1'":"\([^"]*\)".*/\1/'; }

# log in: an access token for an hour, a refresh token for a day
login=$(curl -s http://localhost:3000/login -H "$json" -d '{"username":"user1","password":"quiet lantern nine rivers"}'); echo "$login"
first=$(echo "$login" | token refreshToken)
curl -s http://localhost:3000/protected -H "Authorization: Bearer $(echo "$login" | token accessToken)"; echo

# refresh, each time at whichever replica; asked again at once, as by a second tab, it gives the same token
second=$(curl -s http://localhost:3000/token -H "$json" -d '{"refreshToken":"'$first'"}' | token refreshToken)
again=$(curl -s http://localhost:3000/token -H "$json" -d '{"refreshToken":"'$first'"}' | token refreshToken)
[ "$second" = "$again" ] && echo "two replicas, one session"

# the session goes on, and then somebody presents a copy of the first token: the whole family ends, everywhere
third=$(curl -s http://localhost:3000/token -H "$json" -d '{"refreshToken":"'$second'"}')
curl -s http://localhost:3000/token -H "$json" -d '{"refreshToken":"'$first'"}'; echo
curl -s http://localhost:3000/token -H "$json" -d '{"refreshToken":"'$(echo "$third" | token refreshToken)'"}'; echo
curl -s http://localhost:3000/protected -H "Authorization: Bearer $(echo "$third" | token accessToken)"; echo
