'use strict';

const { TeamManager } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
});

afterEach(() => jest.useRealTimers());

test('a team is live and equal to what it shows', () => {
  const teams = new TeamManager();
  const team = teams.createTeam({ name: 'A', budget: 10, tags: { x: '1' } });
  expect({ ...team }).toStrictEqual({
    id: expect.stringMatching(/^team_[0-9a-f]{16}$/),
    name: 'A',
    description: '',
    memberKeys: [],
    budget: 10,
    totalSpent: 0,
    quota: undefined,
    quotaDailyCalls: 0,
    quotaMonthlyCalls: 0,
    quotaDailyCredits: 0,
    quotaMonthlyCredits: 0,
    quotaLastResetDay: '2026-03-14',
    quotaLastResetMonth: '2026-03',
    tags: { x: '1' },
    createdAt: '2026-03-14T09:26:53.589Z',
    active: true,
  });
  expect(teams.assignKey(team.id, 'k')).toStrictEqual({ success: true });
  expect(team.memberKeys).toStrictEqual(['k']);
  teams.recordUsage('k', 4);
  expect(team).toMatchObject({ totalSpent: 4, quotaDailyCalls: 1 });
  expect(teams.checkBudget('k', 7)).toStrictEqual({ allowed: false, reason: 'team_budget_exceeded' });
  expect(teams.getTeam(team.id)).toBe(team);
  expect(teams.listTeams()).toHaveLength(1);
  expectPlain(teams.getUsageSummary(team.id, () => null));
  jest.setSystemTime(new Date('2026-03-15T00:00:00Z'));
  teams.recordUsage('k', 1);
  expect(team).toMatchObject({ quotaDailyCalls: 1, quotaMonthlyCalls: 2, quotaLastResetDay: '2026-03-15' });
});
